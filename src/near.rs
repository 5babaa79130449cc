//! The word that was meant, where one is unknown.

/// The word nearest to what was given, where one is so near that it may have been meant: two slips at the most, and one in
/// a word of up to five characters.
fn near<'w>(given: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let length = given.chars().count();
    let most = if length > 5 { 2 } else { 1 };
    let slips = |word: &str| {
        // What is much longer or shorter is not compared, however long it is.
        let is_near = word.chars().count().abs_diff(length) <= most;
        is_near
            .then(|| strsim::osa_distance(&given.to_lowercase(), &word.to_lowercase()))
            .filter(|slips| *slips <= most)
    };
    words.into_iter().filter_map(|word| Some((slips(word)?, word))).min().map(|(_, word)| word)
}

/// The sentence, with the word that may have been meant.
pub(crate) fn did_you_mean<'w>(sentence: &str, given: &str, words: impl IntoIterator<Item = &'w str>) -> String {
    match near(given, words) {
        Some(word) => format!("{sentence}; did you mean \"{word}\"?"),
        None => sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_near_with_few_slips_and_the_nearest_is_meant() {
        let words = ["orders-ro", "orders-rw", "shop", "ledger"];
        for (given, meant) in [
            ("orders-r", Some("orders-ro")),
            ("orders-w", Some("orders-rw")),
            ("ORDERS-RO", Some("orders-ro")),
            ("leader", Some("ledger")),
            ("shpo", Some("shop")),
            ("sho", Some("shop")),
            ("sh", None),
            ("nowhere", None),
            ("", None),
        ] {
            assert_eq!(near(given, words), meant, "{given}");
        }
        assert_eq!(near("x", []), None);
    }
}
