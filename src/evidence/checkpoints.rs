//! A file of checkpoints: one JSON object a line, only ever appended to.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::chain::Checkpoint;

/// How much of a file's end is searched for its last checkpoint; a line has well under a thousand bytes.
const TAIL: u64 = 64 * 1024;

/// The end of a file of checkpoints.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last checkpoint; `None` in an empty file, or where there is none.
    pub(super) last: Option<Checkpoint>,
    /// Whether the last line was cut off while it was written.
    is_torn: bool,
}

impl Tail {
    /// The end after that checkpoint.
    pub(super) const fn after(last: Option<Checkpoint>) -> Self {
        Self { last, is_torn: false }
    }

    /// The end of that file; that of an empty one where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or its end is nothing that killgate wrote.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let length = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes);
        let last = text.lines().rev().find_map(Checkpoint::read);
        if last.is_none() && text.lines().count() > 1 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file of checkpoints"));
        }
        Ok(Self { last, is_torn: !text.is_empty() && !text.ends_with('\n') })
    }

    /// Appends checkpoints; when it returns they are on the disk.
    pub(super) fn append(&mut self, path: &Path, checkpoints: &[Checkpoint]) -> io::Result<()> {
        let mut text = if self.is_torn { "\n".to_owned() } else { String::new() };
        for checkpoint in checkpoints {
            text.push_str(&checkpoint.text());
            text.push('\n');
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        self.is_torn = false;
        self.last = checkpoints.last().cloned().or(self.last.take());
        Ok(())
    }
}

/// All checkpoints of a file, and the numbers of its lines that are none. A line that was cut off while it was written is
/// left out: the last one, or one that the next begins with, which was written in its place.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> io::Result<(Vec<Checkpoint>, Vec<usize>)> {
    let (mut checkpoints, mut others) = (Vec::new(), Vec::new());
    let (mut file, mut bytes, mut number) = (BufReader::new(File::open(path)?), Vec::new(), 0);
    let mut torn: Option<String> = None;
    while file.read_until(b'\n', &mut bytes)? > 0 {
        number += 1;
        let line = String::from_utf8_lossy(&bytes);
        let checkpoint = Checkpoint::read(&line);
        if let Some(torn) = torn.take()
            && !(checkpoint.is_some() && line.starts_with(&torn))
        {
            others.push(number - 1);
        }
        match checkpoint {
            Some(checkpoint) => checkpoints.push(checkpoint),
            None if line.trim().is_empty() => {}
            None if line.ends_with('\n') => torn = Some(line.trim_end().to_owned()),
            // The last line, cut off.
            None => {}
        }
        bytes.clear();
    }
    others.extend(torn.map(|_| number));
    Ok((checkpoints, others))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::chain::{Block, Leaf, SealKey};

    /// So many checkpoints in a row.
    fn checkpoints(count: usize) -> Vec<Checkpoint> {
        let key = SealKey::generate().unwrap();
        let mut heads: Vec<Checkpoint> = Vec::new();
        for _ in 0..count {
            let leaf = Leaf { id: uuid::Uuid::nil(), hash: [7; 32] };
            let at = datetime!(2026-03-04 12:00:00.123 UTC);
            let block = Block::seal(vec![leaf], heads.last().map(|last| &last.head), at, &key).unwrap();
            heads.push(Checkpoint { head: block.head, signature: block.signature });
        }
        heads
    }

    #[test]
    fn what_was_appended_is_read_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let all = checkpoints(300);
        let mut tail = Tail::of(&file).unwrap();
        assert!(tail.last.is_none());
        tail.append(&file, &all[..200]).unwrap();
        let mut tail = Tail::of(&file).unwrap();
        assert_eq!(tail.last.as_ref(), Some(&all[199]));
        tail.append(&file, &all[200..]).unwrap();
        assert_eq!(read(&file).unwrap(), (all, vec![]));
    }

    #[test]
    fn a_line_that_was_cut_off_stays_and_spoils_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let all = checkpoints(3);
        Tail::default().append(&file, &all[..2]).unwrap();
        let length = std::fs::metadata(&file).unwrap().len();
        OpenOptions::new().write(true).open(&file).unwrap().set_len(length - 9).unwrap();
        let mut tail = Tail::of(&file).unwrap();
        assert_eq!(tail.last.as_ref(), Some(&all[0]));
        assert_eq!(read(&file).unwrap(), (all[..1].to_vec(), vec![]));
        tail.append(&file, &all[1..]).unwrap();
        assert_eq!(read(&file).unwrap(), (all, vec![]));
    }

    #[test]
    fn a_line_that_is_none_and_was_not_cut_off_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let all = checkpoints(3);
        let [one, two, three] = [0, 1, 2].map(|at: usize| all[at].text());
        let changed = two.replace("\"total\":2", "\"total\":3");
        std::fs::write(&file, format!("{one}\n{changed}\n\n{three}\n{{}}\n")).unwrap();
        assert_eq!(read(&file).unwrap(), (vec![all[0].clone(), all[2].clone()], vec![2, 5]));
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes");
        std::fs::write(&file, "one\ntwo\n").unwrap();
        assert_eq!(Tail::of(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
