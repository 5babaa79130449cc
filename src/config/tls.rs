//! `[tls]`: whom connections to others believe.

use super::section::Section;
use crate::upstream::transport::PublicRoots;

/// Whom connections to others believe, beside what a section says itself.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// `roots`: the authorities that everybody knows: the web's, the system's or none; the web's by default.
    pub roots: PublicRoots,
    /// `ca_file`: certificates of further authorities, as PEM.
    pub authorities: Option<Vec<u8>>,
}

impl Tls {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let roots = section.parsed("roots", "must be web, system or none", |word| match word {
            "web" => Some(PublicRoots::Web),
            "system" => Some(PublicRoots::System),
            "none" => Some(PublicRoots::None),
            _ => None,
        });
        let authorities = section.authorities("ca_file");
        let roots = roots.unwrap_or_default();
        if roots == PublicRoots::None && !section.has("ca_file") {
            section.problem("roots", "none needs ca_file: nobody would be believed");
        }
        Self { roots, authorities }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{problems, read};
    use super::*;

    #[test]
    fn the_web_is_believed_unless_told_otherwise() {
        let tls = read("").tls;
        assert_eq!((tls.roots, tls.authorities), (PublicRoots::Web, None));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        let pem = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
        std::fs::write(&file, &pem).unwrap();
        let tls = read(&format!("[tls]\nroots = 'none'\nca_file = '{}'", file.display())).tls;
        assert_eq!((tls.roots, tls.authorities), (PublicRoots::None, Some(pem.into_bytes())));
    }

    #[test]
    fn each_bad_value_is_told_with_its_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n").unwrap();
        assert_eq!(
            problems(&format!("[tls]\nroots = 'all'\nca_file = '{}'", file.display())),
            ["tls.roots: must be web, system or none", "tls.ca_file: holds no certificate (PEM)"]
        );
        assert_eq!(
            problems("[tls]\nroots = 'none'\nca_files = 'x'"),
            [
                "tls.roots: none needs ca_file: nobody would be believed",
                "tls.ca_files: unknown key, expected one of roots, ca_file"
            ]
        );
        assert_eq!(problems("tls.ca_file = '/nowhere/ca.pem'"), ["tls.ca_file: cannot be read: entity not found"]);
    }
}
