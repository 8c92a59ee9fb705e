// The same flow from JavaScript. The client makes itself from the description that the service publishes: its methods are
// the operations' names, and their arguments are checked by nobody but the service.
//
//   npm install openapi-client-axios axios js-yaml
//   node examples/basic_session.mjs "Hello!"
//
// The service is asked at CHAT_API_URL (http://localhost:8000), with CHAT_API_KEY if there is one.

import { OpenAPIClientAxios } from "openapi-client-axios";

const baseURL = (process.env.CHAT_API_URL || "http://localhost:8000").replace(/\/+$/, "");
const key = process.env.CHAT_API_KEY;
const axiosConfigDefaults = { baseURL, headers: key ? { "X-API-Key": key } : {} };

try {
  const description = new OpenAPIClientAxios({ definition: `${baseURL}/openapi.json`, axiosConfigDefaults });
  const chat = await description.init();
  const { data: session } = await chat.createSession(null, { metadata: { from: "JavaScript" } });
  try {
    const content = process.argv.slice(2).join(" ") || "Hello! What can you do for me?";
    const { data: answer } = await chat.postMessage(session.id, { content });
    console.log(answer.message.content);
  } finally {
    await chat.deleteSession(session.id);
  }
} catch (failure) {
  // What the service says of it, else what the connection says.
  const { error, request_id: id } = failure.response?.data ?? {};
  const request = id ? ` (request ${id})` : ""; // a 429 has its number in a header alone
  console.error(error ? `${error.message ?? error}${request}` : failure.message);
  process.exitCode = 1;
}
