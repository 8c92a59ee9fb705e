//! The tools of a server, as it lists them.

use std::{collections::HashSet, sync::Arc};

use rmcp::{
    Peer, RoleClient, ServiceError,
    model::{ClientRequest, ListToolsRequest, PaginatedRequestParams, ServerResult},
};
use serde_json::{Map, Value};

use crate::server::{Offer, Server};

/// More tools than this of one server are not looked at, those that are not allowed included: a list without an end is no
/// list.
const MOST_TOOLS: usize = 1000;

/// What the tools of one server may take in memory, in bytes of what the model is told of them.
const MOST_BYTES: usize = 1024 * 1024;

/// Longer names are no names. In characters.
const LONGEST_NAME: usize = 128;

/// What a server listed.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) offers: Arc<[Offer]>,
    pub(crate) left_out: Option<LeftOut>,
}

/// The tools that are not offered although they are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) count: usize,
    /// The first one's name, cut.
    pub(crate) first: String,
    /// What is wrong with the first one.
    pub(crate) why: &'static str,
}

/// Asks for all tools, page by page. What a server describes in a way that no model could use it is left out; its other
/// tools are not worse for it.
pub(crate) async fn list_tools(peer: &Peer<RoleClient>, server: &Server) -> Result<Listed, ServiceError> {
    let mut listing = Listing { server, offers: vec![], names: HashSet::new(), seen: 0, bytes: 0, left_out: None };
    let mut cursor = None;
    loop {
        let params = cursor.take().map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let request = ListToolsRequest { params, ..ListToolsRequest::default() };
        let (page, next) = match peer.send_request(ClientRequest::ListToolsRequest(request)).await? {
            ServerResult::ListToolsResult(page) => {
                let read = |tool: rmcp::model::Tool| Found {
                    description: tool.description.map(Into::into),
                    name: tool.name.into(),
                    schema: Some(Arc::unwrap_or_clone(tool.input_schema)),
                };
                (page.tools.into_iter().map(read).collect(), page.next_cursor)
            }
            // One tool that is not as the protocol says makes the whole list something else.
            ServerResult::CustomResult(page) => read_leniently(page.0).ok_or(ServiceError::UnexpectedResponse)?,
            _ => return Err(ServiceError::UnexpectedResponse),
        };
        listing.page(page);
        match next {
            Some(_) if listing.seen >= MOST_TOOLS => {
                listing.leave_out("on further pages", TOO_MANY);
                break;
            }
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok(Listed { offers: listing.offers.into(), left_out: listing.left_out })
}

const TOO_MANY: &str = "the server has too many";

struct Listing<'a> {
    server: &'a Server,
    offers: Vec<Offer>,
    names: HashSet<Arc<str>>,
    seen: usize,
    bytes: usize,
    left_out: Option<LeftOut>,
}

impl Listing<'_> {
    fn page(&mut self, page: Vec<Found>) {
        // Pages without a tool have an end as well.
        self.seen += usize::from(page.is_empty());
        for mut found in page {
            self.seen += 1;
            if !self.server.allows(&found.name) {
                continue;
            }
            match self.check(&mut found) {
                Ok(offer) => {
                    self.names.insert(offer.name.clone());
                    self.offers.push(offer);
                }
                Err(why) => self.leave_out(&found.name, why),
            }
        }
    }

    fn leave_out(&mut self, name: &str, why: &'static str) {
        let first = || LeftOut { count: 0, first: name.chars().take(LONGEST_NAME).collect(), why };
        self.left_out.get_or_insert_with(first).count += 1;
    }

    /// The tool, if its arguments are an object's, which is what models and backends know how to fill, and if there is
    /// room for it.
    fn check(&mut self, found: &mut Found) -> Result<Offer, &'static str> {
        if self.seen > MOST_TOOLS {
            return Err(TOO_MANY);
        }
        if found.name.is_empty() || found.name.chars().count() > LONGEST_NAME {
            return Err("its name is empty or too long");
        }
        if self.names.contains(&*found.name) {
            return Err("there was one of that name already");
        }
        let mut schema = found.schema.take().unwrap_or_default();
        let usable = match schema.get("type") {
            None => !schema.is_empty(),
            Some(kind) => kind == "object",
        };
        if !usable {
            return Err("the schema of its arguments is not an object's");
        }
        schema.insert("type".into(), "object".into());
        let schema = serde_json::value::to_raw_value(&schema).map_err(|_| "its schema cannot be written")?;
        let bytes = found.name.len() + found.description.as_ref().map_or(0, String::len) + schema.get().len();
        if self.bytes + bytes > MOST_BYTES {
            return Err("the descriptions are too long together");
        }
        self.bytes += bytes;
        let description = found.description.take().map(Into::into);
        Ok(Offer { name: found.name.as_str().into(), description, schema: schema.into() })
    }
}

/// A tool as a server describes it, rightly or not.
struct Found {
    name: String,
    description: Option<String>,
    schema: Option<Map<String, Value>>,
}

fn read_leniently(mut page: Value) -> Option<(Vec<Found>, Option<String>)> {
    let next = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
    let Value::Array(tools) = page.get_mut("tools")?.take() else { return None };
    let read = |mut tool: Value| {
        let name = tool.get("name")?.as_str()?.to_owned();
        let description = tool.get("description").and_then(Value::as_str).map(str::to_owned);
        let schema = match tool.get_mut("inputSchema").map(Value::take) {
            Some(Value::Object(schema)) => Some(schema),
            _ => None,
        };
        Some(Found { name, description, schema })
    };
    Some((tools.into_iter().filter_map(read).collect(), next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Phase, tests::server};

    fn found(name: &str, description: usize) -> Found {
        let schema = Map::from_iter([("type".to_owned(), Value::from("object"))]);
        Found { name: name.to_owned(), description: Some("d".repeat(description)), schema: Some(schema) }
    }

    fn listed(page: Vec<Found>) -> (usize, Option<LeftOut>) {
        let server = server("one", vec![], Phase::Ready);
        let mut listing =
            Listing { server: &server, offers: vec![], names: HashSet::new(), seen: 0, bytes: 0, left_out: None };
        listing.page(page);
        (listing.offers.len(), listing.left_out)
    }

    #[test]
    fn a_list_is_bounded_in_number_and_size() {
        let (kept, left_out) = listed((0..1010).map(|number| found(&format!("tool_{number}"), 1)).collect());
        assert_eq!((kept, left_out), (1000, Some(LeftOut { count: 10, first: "tool_1000".into(), why: TOO_MANY })));
        let large = (0..40).map(|number| found(&format!("tool_{number}"), 100_000)).collect();
        let (kept, left_out) = listed(large);
        assert_eq!((kept, left_out.expect("too large").count), (10, 30));
    }

    #[test]
    fn names_are_short_and_come_once() {
        let long = "n".repeat(1_000_000);
        let (kept, left_out) = listed(vec![found("a", 0), found("a", 0), found(&long, 0), found("", 0), found("b", 0)]);
        assert_eq!(kept, 2);
        let left_out = left_out.expect("three");
        assert_eq!((left_out.count, &*left_out.first), (3, "a"));
        assert_eq!(listed(vec![found(&long, 0)]).1.expect("one").first.len(), LONGEST_NAME);
    }
}
