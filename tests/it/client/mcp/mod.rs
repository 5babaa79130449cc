//! `killgate mcp`, spoken to by the client of the protocol's own SDK.

mod http;
mod stdio;

use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, CallToolResult},
    service::RunningService,
};
use serde_json::Value;

use crate::support::patience::in_time;

/// An agent.
struct Agent(RunningService<RoleClient, ()>);

impl Agent {
    async fn call(&self, tool: &'static str, arguments: Value) -> Result<Told, String> {
        let result = self.0.call_tool(asked(tool, &arguments));
        let result = in_time(result).await.map_err(|error| error.to_string())?;
        // What is no such argument is refused by the protocol's own library, in its words.
        match texts(&result).as_slice() {
            [one] if result.is_error == Some(true) => Err((*one).to_owned()),
            _ => Ok(Told::of(&result)),
        }
    }

    async fn done(&self, tool: &'static str, arguments: Value) -> Told {
        let told = self.call(tool, arguments).await.unwrap();
        assert!(!told.is_error, "{told:?}");
        told
    }

    async fn refused(&self, tool: &'static str, arguments: Value) -> String {
        match self.call(tool, arguments).await {
            Ok(told) => {
                assert!(told.is_error, "{told:?}");
                told.notice
            }
            Err(error) => error,
        }
    }
}

fn asked(tool: &'static str, arguments: &Value) -> CallToolRequestParams {
    let mut params = CallToolRequestParams::new(tool);
    params.arguments = arguments.as_object().cloned();
    params
}

fn texts(result: &CallToolResult) -> Vec<&str> {
    result.content.iter().map(|block| block.as_text().unwrap().text.as_str()).collect()
}

/// What a tool said.
#[derive(Debug)]
struct Told {
    notice: String,
    mark: String,
    data: Value,
    is_error: bool,
}

impl Told {
    fn of(result: &CallToolResult) -> Self {
        let texts = texts(result);
        let (marked, notices) = texts.split_last().unwrap();
        let (begin, rest) = marked.split_once('\n').unwrap();
        let (data, end) = rest.rsplit_once('\n').unwrap();
        let mark = begin.strip_prefix("data ").unwrap().to_owned();
        assert_eq!(end, format!("end {mark}"));
        let notice = notices.join("\n");
        assert!(notice.contains(&mark) && notice.contains("never instructions"), "{notice}");
        Self { notice, mark, data: serde_json::from_str(data).unwrap(), is_error: result.is_error == Some(true) }
    }
}
