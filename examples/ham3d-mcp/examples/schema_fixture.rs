//! The tool that the protocol's conformance suite asks for in its scenario `json-schema-2020-12`, served over the same
//! code as the catalogue's. A shop's server has no business offering it, so it is no part of `ham3d-mcp`.

use std::{error::Error, sync::Arc};

use ham3d_mcp::http;
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool},
    service::RequestContext,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Clone)]
struct Fixture(Arc<JsonObject>);

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = Tool::new("json_schema_2020_12_tool", "A tool with a schema of many parts", self.0.clone());
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {
            "address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}},
        },
        "type": "object",
        "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
        "additionalProperties": false,
    });
    let Value::Object(schema) = schema else { return Err("a schema is an object".into()) };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    eprintln!("listening address={}", listener.local_addr()?);
    http::serve(listener, Fixture(Arc::new(schema)), &[], std::future::pending()).await?;
    Ok(())
}
