//! What reasons are found by: the same words on both engines and in every locale, since neither database has a say in it.

use unicode_script::{Script, UnicodeScript as _};

/// Most characters of a word that count; more is passed over, in reasons and where they are searched. An index takes no
/// word of thousands of bytes, which a reason in a script without spaces may well be.
const LONGEST: usize = 100;

/// The words of a text, each once, in lower case and in their order.
///
/// A word is a run of letters and digits of one script; digits are of any. Chinese characters and kana are words one by
/// one, since nothing stands between their words. Of a word the first 100 characters count.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut script) = (Vec::new(), String::new(), Script::Common);
    let end = |word: &mut String, words: &mut Vec<String>| {
        let word = std::mem::take(word);
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    };
    for c in text.chars() {
        let its = c.script();
        let is_shared = matches!(its, Script::Common | Script::Inherited);
        // Marks that lengthen or repeat what is before them belong to several scripts.
        let is_mark = matches!(c, '\u{3005}'..='\u{3007}' | '\u{30fc}' | '\u{ff70}');
        let stands_alone = is_mark || matches!(its, Script::Han | Script::Hiragana | Script::Katakana);
        let goes_on = c.is_alphanumeric() && !stands_alone && (is_shared || script == Script::Common || its == script);
        if !goes_on {
            end(&mut word, &mut words);
            script = Script::Common;
        }
        if c.is_alphanumeric() {
            let room = LONGEST.saturating_sub(word.chars().count());
            word.extend(c.to_lowercase().take(room));
            if stands_alone {
                end(&mut word, &mut words);
            } else if !is_shared {
                script = its;
            }
        }
    }
    end(&mut word, &mut words);
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_of_script_ends_a_word_and_chinese_is_taken_character_by_character() {
        assert_eq!(words("INC-4711 runaway\tREPORT, runaway"), ["inc", "4711", "runaway", "report"]);
        assert_eq!(words("处理INC-4712报表"), ["处", "理", "inc", "4712", "报", "表"]);
        assert_eq!(words("レポートINC4711を止める"), ["レ", "ポ", "ー", "ト", "inc4711", "を", "止", "め", "る"]);
        assert_eq!(words("отчётINC 2й"), ["отчёт", "inc", "2й"]);
        assert_eq!(words("보고서INC-1"), ["보고서", "inc", "1"]);
        assert_eq!(words(" -_。，'\" "), Vec::<String>::new());
    }

    #[test]
    fn of_a_long_word_its_beginning_counts() {
        let [long, other] = ["ж", "й"].map(|end| words(&format!("{}{end} x", "Ж".repeat(LONGEST))));
        assert_eq!(long, [&"ж".repeat(LONGEST), "x"]);
        assert_eq!(long, other);
    }

    proptest! {
        #[test]
        fn words_are_plain_and_no_longer_than_an_index_takes(text in any::<String>()) {
            let found = words(&text);
            for word in &found {
                prop_assert!(word.chars().count() <= LONGEST);
                prop_assert!(word.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() && !c.is_ascii_uppercase()));
            }
        }
    }
}
