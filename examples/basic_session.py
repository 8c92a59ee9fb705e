#!/usr/bin/env python3
"""The whole way of a chat over HTTP: make a session, say one thing in it, read the answer, remove the session.

    pip install httpx
    python examples/basic_session.py

    CHAT_API_URL               where the service is (http://localhost:8000)
    CHAT_MEMORY_LIMIT          how many messages the session remembers (the service's default)
    CHAT_SESSION_METADATA      a JSON object kept with the session
    CHAT_USER_MESSAGE          what is said (a greeting)
    CHAT_MESSAGE_ROLE          as whom: user or assistant (user)
    CHAT_MESSAGE_MEMORY_LIMIT  how many messages this turn sees and leaves (the session's)
    CHAT_MESSAGE_OPTIONS       a JSON object of options for the model
    CHAT_REQUEST_TIMEOUT       seconds that a request may take (30)
    CHAT_API_KEY               one of the service's API_KEYS, if it asks for one (none)

All of them are checked before anything is sent.
"""

import json
import os
import sys

import httpx


def an_object(text):
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def a_count(text):
    value = int(text)
    if not 1 <= value < 2**32:
        raise ValueError
    return value


def a_role(text):
    if text not in ("user", "assistant"):
        raise ValueError
    return text


def a_url(text):
    url = httpx.URL(text)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError
    return url


def a_key(text):
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError
    return text


def seconds(text):
    value = float(text)
    if not 0.001 <= value <= 86_400:
        raise ValueError
    return value


JSON_OBJECT = 'a JSON object, such as {"key": "value"}'
WHOLE_NUMBER = "a whole number, 1 or more"
VARIABLES = {
    "CHAT_API_URL": (a_url, "an http or https URL such as http://localhost:8000"),
    "CHAT_MEMORY_LIMIT": (a_count, WHOLE_NUMBER),
    "CHAT_SESSION_METADATA": (an_object, JSON_OBJECT),
    "CHAT_USER_MESSAGE": (str, "a text"),
    "CHAT_MESSAGE_ROLE": (a_role, "user or assistant"),
    "CHAT_MESSAGE_MEMORY_LIMIT": (a_count, WHOLE_NUMBER),
    "CHAT_MESSAGE_OPTIONS": (an_object, JSON_OBJECT),
    "CHAT_REQUEST_TIMEOUT": (seconds, "a number of seconds above 0 and up to 86400, such as 30"),
    "CHAT_API_KEY": (a_key, "printable ASCII without spaces"),
}


def settings(environment):
    """What the variables say; a blank one counts as absent. Exits with all that is wrong with them."""
    values, problems = {}, []
    for name, (parse, expected) in VARIABLES.items():
        text = environment.get(name, "").strip()
        if not text:
            continue
        try:
            values[name] = parse(text)
        except (ValueError, RecursionError, httpx.InvalidURL):
            problems.append(f"{name} must be {expected}")
    if problems:
        print("\n".join(problems), file=sys.stderr)
        sys.exit(2)
    return values


def given(**fields):
    return {name: value for name, value in fields.items() if value is not None}


def checked(response):
    """The response, unless it is a refusal: that ends the program with what the service said and the request's id."""
    if response.is_success:
        return response
    try:
        body = response.json()
    except ValueError:
        body = {}
    error = body.get("error") or {}
    if isinstance(error, str):
        reason = f"too many requests: try again in {body.get('retry_after')} seconds"
    else:
        reason = error.get("message", "no reason given")
    request_id = response.headers.get("X-Request-ID", "unknown")
    sys.exit(f"the service answered {response.status_code}: {reason} (request {request_id})")


def main():
    values = settings(os.environ)
    say = values.get("CHAT_USER_MESSAGE", "Hello! What can you do for me?")
    session = given(memory_limit=values.get("CHAT_MEMORY_LIMIT"), metadata=values.get("CHAT_SESSION_METADATA"))
    message = given(
        content=say,
        role=values.get("CHAT_MESSAGE_ROLE"),
        memory_limit=values.get("CHAT_MESSAGE_MEMORY_LIMIT"),
        options=values.get("CHAT_MESSAGE_OPTIONS"),
    )
    api_url = values.get("CHAT_API_URL", "http://localhost:8000")
    headers = {"X-API-Key": values["CHAT_API_KEY"]} if "CHAT_API_KEY" in values else {}
    timeout = values.get("CHAT_REQUEST_TIMEOUT", 30.0)
    with httpx.Client(base_url=api_url, headers=headers, timeout=timeout) as client:
        try:
            session = checked(client.post("/sessions", json=session)).json()
            print(f"session {session['id']}, remembers {session['memory_limit']} messages")
            try:
                answer = checked(client.post(f"/sessions/{session['id']}/messages", json=message)).json()
                print(f"> {say}")
                print(answer["message"]["content"])
                print(f"usage {json.dumps(answer['usage'])}")
            finally:
                # What went wrong before is what matters, so this is not checked.
                if client.delete(f"/sessions/{session['id']}").is_success:
                    print(f"session {session['id']} is gone")
        except httpx.HTTPError as error:
            sys.exit(f"no answer from the service: {error}")


if __name__ == "__main__":
    main()
