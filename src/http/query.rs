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
            let sentence = format!("{name} is no parameter of this operation, which takes none");
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
        let known_words = known.iter().map(|name| (*name).to_owned()).collect();
        return Err(unknown(name, known).supported(known_words));
    }
    Ok((read(joined(filters, Wanted::LISTS)?)?, read(joined(own_pairs, &["by"])?)?))
}

/// What is told of a parameter that is none of those.
pub(super) fn unknown<'w>(name: &str, known: impl IntoIterator<Item = &'w str>) -> Problem {
    let sentence = did_you_mean(&format!("{name} is no parameter of this operation"), name, known);
    Problem::new(ProblemCode::Malformed, sentence).at(name)
}

/// A parameter by its name, and its value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Each parameter once. Many generated clients write a list as a parameter that comes again, and not with commas.
///
/// # Errors
/// `malformed`, naming a parameter that is given twice and is no list.
pub(super) fn joined<'a>(pairs: impl IntoIterator<Item = Pair<'a>>, lists: &[&str]) -> Result<Vec<Pair<'a>>, Problem> {
    let mut joined: Vec<Pair<'a>> = Vec::new();
    for (name, value) in pairs {
        match joined.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) if lists.contains(&name.as_ref()) => *values = format!("{values},{value}").into(),
            Some(_) => {
                return Err(Problem::new(ProblemCode::Malformed, format!("{name} is given twice")).at(name));
            }
            None => joined.push((name, value)),
        }
    }
    Ok(joined)
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

fn read<T: DeserializeOwned>(pairs: Vec<Pair<'_>>) -> Result<T, Problem> {
    let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let field = error.path().to_string();
        Problem::new(ProblemCode::Malformed, error.into_inner().to_string()).at(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_given_twice_is_named_unless_it_is_a_list() {
        let joined = |query: &'static str| joined(form_urlencoded::parse(query.as_bytes()), &["status"]);
        let pairs = joined("status=failed&limit=2&status=partial").unwrap();
        assert_eq!(pairs, [("status".into(), "failed,partial".into()), ("limit".into(), "2".into())] as [Pair<'_>; 2]);
        let problem = joined("limit=2&status=failed&limit=3").unwrap_err();
        assert_eq!((problem.field.as_deref(), problem.detail.as_str()), (Some("limit"), "limit is given twice"));
    }
}
