//! Where and which sessions, as a person writes it on the command line.
//!
//! What is right is the gateway's to say: here words are only put where they belong.

use clap::Args;
use clap_complete::ArgValueCompleter;
use serde_json::{Map, Value, json};
use url::form_urlencoded::Serializer;

use super::{complete, failure::Failure};

/// Where: an alias, or the coordinates.
#[derive(Debug, Clone, Args)]
pub(super) struct Place {
    /// An alias, or the coordinates: vendor=taurusdb,instance_id=…,node_id=…
    #[arg(add = ArgValueCompleter::new(complete::targets))]
    target: String,
}

impl Place {
    /// `None` for an alias.
    fn coordinates(&self) -> Result<Option<Vec<(&str, &str)>>, Failure> {
        if !self.target.contains('=') {
            return Ok(None);
        }
        let mut pairs: Vec<(&str, &str)> = vec![];
        for part in parts(&self.target) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if pairs.iter().any(|(before, _)| *before == name) {
                return Err(Failure::wrong(format!("TARGET: {name} is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Some(pairs))
    }

    /// As a kill has it.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        Ok(match self.coordinates()? {
            None => json!(self.target),
            Some(pairs) => {
                pairs.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect::<Map<_, _>>().into()
            }
        })
    }

    /// As a list of sessions has it.
    fn query(&self, query: &mut Serializer<'_, String>) -> Result<(), Failure> {
        match self.coordinates()? {
            None => query.append_pair("target", &self.target),
            Some(pairs) => query.extend_pairs(pairs),
        };
        Ok(())
    }

    pub(super) fn name(&self) -> &str {
        &self.target
    }
}

/// `NAME=VALUE` each. A value may have commas, as several shards have: what follows one and is no `NAME=` is of the value.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let begins_another =
            |(at, _): &(usize, &str)| whole[at + 1..].split(',').next().is_some_and(|next| next.contains('='));
        let end = whole.match_indices(',').find(begins_another).map(|(at, _)| at);
        rest = end.map(|at| &whole[at + 1..]);
        Some(end.map_or(whole, |at| &whole[..at]))
    })
}

/// Criteria, of which all that are given must hold.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which sessions")]
pub(super) struct Criteria {
    /// The database user; * stands for any run of characters
    #[arg(long, value_name = "USER")]
    user: Vec<String>,
    /// The database
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// The client's address, with its port or without
    #[arg(long, value_name = "ADDRESS")]
    host: Vec<String>,
    /// The kind of work, such as Query or Sleep
    #[arg(long, value_name = "WORD")]
    command: Vec<String>,
    /// The state
    #[arg(long, value_name = "WORD")]
    state: Vec<String>,
    /// A piece of the statement, as it is shown to you
    #[arg(long, value_name = "TEXT")]
    contains: Vec<String>,
    /// Doing what it does for at least this long: 90s, 10m, 1h30m
    #[arg(long, value_name = "TIME")]
    longer: Option<String>,
    /// With its transaction open for at least this long
    #[arg(long, value_name = "TIME")]
    transaction_longer: Option<String>,
    /// Doing nothing while its transaction is open
    #[arg(long)]
    idle_in_transaction: bool,
    /// Others wait for it, and it for nobody
    #[arg(long)]
    blocking: bool,
    /// Most sessions
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Which go first: longest or newest
    #[arg(long, value_name = "WORD")]
    order: Option<String>,
}

impl Criteria {
    fn texts(&self) -> [(&'static str, &'static str, &Vec<String>); 6] {
        [
            ("user", "--user", &self.user),
            ("database", "--database", &self.database),
            ("host", "--host", &self.host),
            ("command", "--command", &self.command),
            ("state", "--state", &self.state),
            ("statement", "--contains", &self.contains),
        ]
    }

    fn times(&self) -> [(&'static str, &Option<String>); 2] {
        [("min_seconds", &self.longer), ("min_transaction_seconds", &self.transaction_longer)]
    }

    fn flags(&self) -> [(&'static str, bool); 2] {
        [("idle_in_transaction", self.idle_in_transaction), ("blocking", self.blocking)]
    }

    /// As a kill has them.
    fn json(&self) -> Map<String, Value> {
        let mut criteria = Map::new();
        for (name, _, texts) in self.texts() {
            match texts.as_slice() {
                [] => {}
                [one] => drop(criteria.insert(name.to_owned(), json!(one))),
                several => drop(criteria.insert(name.to_owned(), json!(several))),
            }
        }
        let times = self.times().into_iter().filter_map(|(name, time)| Some((name, json!(time.as_ref()?))));
        let flags = self.flags().into_iter().filter(|(_, flag)| *flag).map(|(name, flag)| (name, json!(flag)));
        let limit = self.limit.map(|limit| ("limit", json!(limit)));
        let order = self.order.as_ref().map(|order| ("order", json!(order)));
        criteria.extend(times.chain(flags).chain(limit).chain(order).map(|(name, value)| (name.to_owned(), value)));
        criteria
    }

    /// As a list of sessions at a place has them.
    pub(super) fn query(&self, place: &Place) -> Result<String, Failure> {
        let mut query = Serializer::new(String::new());
        place.query(&mut query)?;
        for (name, option, texts) in self.texts() {
            match texts.as_slice() {
                [] => {}
                [one] => drop(query.append_pair(name, one)),
                _ => {
                    return Err(Failure::wrong(format!(
                        "{option}: a list takes it once; preview and kill take several"
                    )));
                }
            }
        }
        for (name, time) in self.times() {
            query.extend_pairs(time.iter().map(|time| (name, time)));
        }
        for (name, _) in self.flags().into_iter().filter(|(_, flag)| *flag) {
            query.append_pair(name, "true");
        }
        query.extend_pairs(self.limit.map(|limit| ("limit", limit.to_string())));
        query.extend_pairs(self.order.as_ref().map(|order| ("order", order)));
        Ok(query.finish())
    }
}

/// The one user that is the one criterion.
fn only_user(criteria: &Map<String, Value>) -> Option<&str> {
    let user = criteria.get("user")?.as_str()?;
    (criteria.len() == 1 && !user.contains('*')).then_some(user)
}

/// Ids of sessions that must be that user's.
pub(super) fn of_user(ids: &[String], user: &str) -> Vec<Value> {
    ids.iter().map(|id| json!({ "id": id, "user": user })).collect()
}

/// Which sessions a kill is about: ids, criteria, or whatever the database picks.
#[derive(Debug, Clone, Args)]
pub(super) struct Chosen {
    /// Ids of sessions, with one --user of that user's alone; without any the criteria say which are meant
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    criteria: Criteria,
    /// Spare whoever meets this: user=repl, host=10.0.9.*, contains=…, longer=1h, and so on
    #[arg(long, value_name = "WHAT=VALUE", help_heading = "Which sessions")]
    except: Vec<String>,
    /// Whatever the database itself picks
    #[arg(long, help_heading = "Which sessions")]
    intelligent: bool,
}

impl Chosen {
    pub(super) const fn names_ids(&self) -> bool {
        !self.ids.is_empty()
    }

    pub(super) const fn is_left_to_database(&self) -> bool {
        self.intelligent
    }

    /// As a kill has it.
    pub(super) fn select(&self) -> Result<Value, Failure> {
        let mut criteria = self.criteria.json();
        if !self.except.is_empty() {
            criteria.insert("except".to_owned(), self.spared()?.into());
        }
        match (self.ids.as_slice(), criteria.is_empty(), self.intelligent) {
            ([], false, false) => Ok(json!({ "match": criteria })),
            ([], true, true) => Ok(json!({ "intelligent": true })),
            (ids @ [_, ..], true, false) => Ok(json!({ "ids": ids })),
            (ids @ [_, ..], false, false) => match only_user(&criteria) {
                Some(user) => Ok(json!({ "ids": of_user(ids, user) })),
                None => Err(Failure::wrong("beside ids one --user may say whose they must be, and no other criterion")),
            },
            ([], true, false) => Err(Failure::wrong("which sessions are meant is not said").hint(
                "give ids, or criteria such as --user report --longer 10m; `killgate sessions TARGET` shows them",
            )),
            _ => Err(Failure::wrong("ids, criteria and --intelligent do not go together")),
        }
    }

    fn spared(&self) -> Result<Map<String, Value>, Failure> {
        let mut spared: Map<String, Value> = Map::new();
        for given in &self.except {
            // A flag needs no value, and every other criterion needs one: without it nobody would be spared.
            let (what, value) =
                given.split_once('=').map_or((given.as_str(), None), |(what, value)| (what, Some(value)));
            let (name, value) = match (what, value) {
                (what @ ("user" | "database" | "host" | "command" | "state"), Some(value)) => (what, json!([value])),
                ("contains", Some(value)) => ("statement", json!([value])),
                ("longer", Some(value)) => ("min_seconds", json!(value)),
                ("transaction-longer", Some(value)) => ("min_transaction_seconds", json!(value)),
                ("idle-in-transaction", None | Some("true")) => ("idle_in_transaction", json!(true)),
                ("blocking", None | Some("true")) => (what, json!(true)),
                _ => {
                    return Err(Failure::wrong(format!("--except {given}: says nothing that a session can be spared by")).hint(
                        "user, database, host, command, state, contains, longer, transaction-longer with =VALUE; idle-in-transaction, blocking",
                    ));
                }
            };
            match (spared.get_mut(name), value) {
                (Some(Value::Array(texts)), Value::Array(more)) => texts.extend(more),
                (Some(before), value) if *before != value => {
                    return Err(Failure::wrong(format!("--except {what}: is given twice")));
                }
                (_, value) => drop(spared.insert(name.to_owned(), value)),
            }
        }
        Ok(spared)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        chosen: Chosen,
    }

    fn line(words: &str) -> Line {
        Line::try_parse_from(["it"].into_iter().chain(words.split(' '))).unwrap()
    }

    #[test]
    fn a_place_is_an_alias_or_coordinates() {
        assert_eq!(line("orders").place.json().unwrap(), json!("orders"));
        let full = line("vendor=dcdb,instance_id=i,shard_id=s").place;
        assert_eq!(full.json().unwrap(), json!({ "vendor": "dcdb", "instance_id": "i", "shard_id": "s" }));
        let query = Criteria::default().query(&full).unwrap();
        assert_eq!(query, "vendor=dcdb&instance_id=i&shard_id=s");
        let several = line("vendor=dcdb,shards=a,b,instance_id=i").place.json().unwrap();
        assert_eq!(several, json!({ "vendor": "dcdb", "shards": "a,b", "instance_id": "i" }));
        let twice = line("vendor=alidas,instance_id=A,instance_id=B").place;
        let sentence = "TARGET: instance_id is given twice";
        assert_eq!(twice.json().unwrap_err().sentence, sentence);
        assert_eq!(Criteria::default().query(&twice).unwrap_err().sentence, sentence);
    }

    #[test]
    fn criteria_ids_or_the_database_say_which_are_meant() {
        let select = |words: &str| line(words).chosen.select();
        assert_eq!(select("t 7 8").unwrap(), json!({ "ids": ["7", "8"] }));
        assert_eq!(select("t --intelligent").unwrap(), json!({ "intelligent": true }));
        let words = "t --user report --user etl_* --longer 10m --blocking --limit 5 --order longest --contains sum \
                     --except user=repl --except user=dba_* --except host=10.0.9.* --except longer=1h";
        assert_eq!(
            select(words).unwrap(),
            json!({ "match": {
                "user": ["report", "etl_*"], "min_seconds": "10m", "blocking": true, "limit": 5, "order": "longest",
                "statement": "sum",
                "except": { "user": ["repl", "dba_*"], "host": ["10.0.9.*"], "min_seconds": "1h" },
            } })
        );
        let flags = select("t --user u --except blocking --except idle-in-transaction=true").unwrap();
        assert_eq!(flags["match"]["except"], json!({ "blocking": true, "idle_in_transaction": true }));
        let twice = select("t --user u --except longer=1h --except longer=5m").unwrap_err();
        assert_eq!(twice.sentence, "--except longer: is given twice");
        assert_eq!(
            select("t 7 s/8 --user u").unwrap(),
            json!({ "ids": [{ "id": "7", "user": "u" }, { "id": "s/8", "user": "u" }] })
        );
        for bad in [
            "t",
            "t 7 --user u*",
            "t 7 --user u --user v",
            "t 7 --user u --longer 5m",
            "t 7 --except user=v",
            "t 7 --intelligent",
            "t 7 --user u --intelligent",
            "t --intelligent --user u",
        ] {
            assert_eq!(select(bad).unwrap_err().exit, super::super::exit::Exit::Wrong, "{bad}");
        }
    }

    /// A criterion without a value would spare nobody, and all would be ended.
    #[test]
    fn whoever_is_to_be_spared_is_said_in_full() {
        for except in [
            "colour=red",
            "user",
            "database",
            "host",
            "command",
            "state",
            "contains",
            "longer",
            "transaction-longer",
            "blocking=false",
            "idle-in-transaction=",
            "",
        ] {
            let line = Line::try_parse_from(["it", "t", "--user", "a*", "--except", except]).unwrap();
            let refused = line.chosen.select().unwrap_err();
            assert_eq!(refused.exit, super::super::exit::Exit::Wrong, "{except}");
            assert!(refused.hint.unwrap().contains("with =VALUE"), "{except}");
        }
    }

    #[test]
    fn a_list_takes_each_criterion_once() {
        let Line { place, chosen } = line("t --user a&b --longer 5m --idle-in-transaction --limit 3");
        let query = chosen.criteria.query(&place).unwrap();
        assert_eq!(query, "target=t&user=a%26b&min_seconds=5m&idle_in_transaction=true&limit=3");
        let Line { place, chosen } = line("t --user a --user b");
        assert!(chosen.criteria.query(&place).unwrap_err().sentence.starts_with("--user: "));
    }
}
