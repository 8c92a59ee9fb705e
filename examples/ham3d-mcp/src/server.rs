//! The protocol: [`CatalogueServer`], with its one tool.

use std::{error::Error, sync::Arc};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    handler::server::common::schema_for_output,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
        PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool, ToolAnnotations,
    },
    service::RequestContext,
};

use crate::{args::Search, catalogue::Catalogue, result::SearchResult, schema};

/// What the server is called.
pub const SERVER_NAME: &str = "ham3d-mysql";
/// What its tool is called.
pub const TOOL_NAME: &str = "search_products";

const DESCRIPTION: &str = "Searches the shop's product catalogue: 3D printers, filaments, parts and the like. All \
    conditions must hold together; those on colours for one and the same variant of a product. Without arguments it \
    lists the newest products on sale.";

/// An MCP server over a [`Catalogue`].
#[derive(Clone)]
pub struct CatalogueServer {
    catalogue: Catalogue,
    tool: Tool,
}

impl CatalogueServer {
    /// A server over this catalogue.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        let tool = Tool::new(TOOL_NAME, DESCRIPTION, Arc::new(schema::input()))
            .with_title("Search products")
            .with_raw_output_schema(schema_for_output::<SearchResult>())
            .with_annotations(ToolAnnotations::new().read_only(true).idempotent(true).open_world(false));
        Self { catalogue, tool }
    }

    async fn search(&self, request: CallToolRequestParams) -> CallToolResult {
        let search = match Search::parse(request.arguments.unwrap_or_default()) {
            Ok(search) => search,
            Err(mistakes) => return refusal(mistakes.to_string()),
        };
        match self.catalogue.search(&search).await {
            Ok(result) => match serde_json::to_value(result) {
                Ok(result) => CallToolResult::structured(result),
                Err(error) => {
                    tracing::error!(%error, "a result cannot be written");
                    refusal("The result cannot be shown.".to_owned())
                }
            },
            Err(failure) => {
                let cause = failure.source().map(ToString::to_string);
                tracing::warn!(cause, "a search failed: {failure}");
                refusal(failure.to_string())
            }
        }
    }
}

/// An answer that a model can read and act on, unlike an error of the protocol.
fn refusal(text: String) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(text)])
}

impl ServerHandler for CatalogueServer {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(SERVER_NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(format!("A shop's product catalogue. Ask it with the tool {TOOL_NAME}."))
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(vec![self.tool.clone()]))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        (name == TOOL_NAME).then(|| self.tool.clone())
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        if request.name != TOOL_NAME {
            return Err(ErrorData::invalid_params(format!("There is no such tool; there is {TOOL_NAME}."), None));
        }
        // A client that cancels hears nothing any more: what is dropped here gives its connection back.
        tokio::select! {
            result = self.search(request) => Ok(result.into()),
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        }
    }
}
