"""An MCP server as people write them: the protocol's own library, and one tool that gives back the text it is given."""

from mcp.server import MCPServer

server = MCPServer("echo")


# Without structured output: the answer is the text, once.
@server.tool(description="Gives back a text.", structured_output=False)
def echo(text: str) -> str:
    return text


server.run()
