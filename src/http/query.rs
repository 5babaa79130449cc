//! Query strings: whoever sends a parameter means something by it, so none is passed over.

use std::borrow::Cow;

use actix_web::HttpRequest;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use crate::{
    audit::Cursor,
    domain::{Problem, ProblemCode},
    history::Wanted,
    near::did_you_mean,
};

/// # Errors
/// `malformed`, naming the first parameter.
pub(super) fn none(request: &HttpRequest) -> Result<(), Problem> {
    match form_urlencoded::parse(request.query_string().as_bytes()).next() {
        None => Ok(()),
        Some((name, _)) => {
            let sentence = "unknown query parameter; this operation takes none";
            Err(Problem::new(ProblemCode::Malformed, sentence).at(name))
        }
    }
}

/// The filters of a query string, and the operation's own parameters, which have these names.
///
/// # Errors
/// `malformed`, naming a parameter that is unknown, or given twice and no list.
pub(super) fn wanted<T: DeserializeOwned>(query: &str, own: &[&str]) -> Result<(Wanted, T), Problem> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let (own_pairs, filters): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| own.contains(&name.as_ref()));
    if let Some((name, _)) = filters.iter().find(|(name, _)| !Wanted::NAMES.contains(&name.as_ref())) {
        let known = [own, Wanted::NAMES.as_slice()].concat();
        let sentence = did_you_mean("unknown query parameter", name, known.iter().copied());
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        return Err(Problem::new(ProblemCode::Malformed, sentence).at(name.as_ref()).supported(known));
    }
    Ok((read(joined(filters, Wanted::LISTS))?, read(joined(own_pairs, &["by"]))?))
}

/// Many generated clients write a list as a parameter that comes again, and not with commas.
fn joined<'a>(pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>, lists: &[&str]) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut joined: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        match joined.iter_mut().find(|(known, _)| *known == name && lists.contains(&name.as_ref())) {
            Some((_, values)) => *values = format!("{values},{value}").into(),
            None => joined.push((name, value)),
        }
    }
    joined
}

/// A place in the history, as an answer before gave it out in that order.
///
/// # Errors
/// `invalid`, naming the parameter.
pub(super) fn place(name: &str, text: Option<&str>, oldest_first: bool) -> Result<Option<Cursor>, Problem> {
    let place: Option<Cursor> = text
        .map(str::parse)
        .transpose()
        .map_err(|_| Problem::invalid(name, "is not one that this gateway gave out"))?;
    if place.as_ref().is_some_and(|place| place.is_oldest_first() != oldest_first) {
        return Err(Problem::invalid(name, "is of a list in the other order: go on in its own, or begin anew"));
    }
    Ok(place)
}

/// The query string of a request with that place in it, for a link.
pub(super) fn at(request: &HttpRequest, name: &str, place: &Cursor) -> String {
    let others = form_urlencoded::parse(request.query_string().as_bytes()).filter(|(other, _)| other != name);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair(name, &place.to_string()).finish()
}

fn read<T: DeserializeOwned>(pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>) -> Result<T, Problem> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let field = error.path().to_string();
        Problem::new(ProblemCode::Malformed, error.into_inner().to_string()).at(field)
    })
}
