#!/usr/bin/env python3
"""A streamed answer: the words as they come, the tools as they run.

    pip install httpx httpx-sse
    python examples/streaming_session.py "What is 2 and 2?"

The service is asked at CHAT_API_URL (http://localhost:8000), with CHAT_API_KEY if there is one.
"""

import json
import os
import sys

import httpx
from httpx_sse import connect_sse


def show(event, data):
    if event == "message.delta":
        print(data["content"], end="", flush=True)
    elif event == "tool.started":
        print(f"\n[{data['server']}: {data['tool']} {json.dumps(data['arguments'], ensure_ascii=False)}]")
    elif event == "tool.finished":
        print(f"[{data['tool']} {'failed' if data['is_error'] else 'is done'} after {data['duration_ms']} ms]")
    elif event == "message.completed":
        print(f"\nusage {json.dumps(data['usage'])}")
    elif event == "error":
        # The answer broke off, and nothing of it is remembered.
        sys.exit(f"\n{data['error']['message']} (request {data['request_id']})")


def main():
    content = " ".join(sys.argv[1:]).strip() or "Hello! What can you do for me?"
    # A model may think for minutes; the service sends a sign of life every 15 seconds.
    timeout = httpx.Timeout(30.0)
    api_url = os.environ.get("CHAT_API_URL") or "http://localhost:8000"
    key = os.environ.get("CHAT_API_KEY")
    try:
        with httpx.Client(base_url=api_url, headers={"X-API-Key": key} if key else {}, timeout=timeout) as client:
            made = client.post("/sessions")
            if not made.is_success:
                sys.exit(f"the service answered {made.status_code}: {made.text}")
            session = f"/sessions/{made.json()['id']}"
            try:
                with connect_sse(client, "POST", f"{session}/messages", json={"content": content}) as source:
                    if not source.response.is_success:
                        source.response.read()
                        sys.exit(f"the service answered {source.response.status_code}: {source.response.text}")
                    for event in source.iter_sse():
                        show(event.event, event.json())
            finally:
                client.delete(session)
    except httpx.HTTPError as error:
        sys.exit(f"no answer from the service: {error}")


if __name__ == "__main__":
    main()
