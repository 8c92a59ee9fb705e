#!/usr/bin/env python3
"""An MCP server over stdio that behaves as a test wants it to. Needs nothing but Python.

Its tools: echo, fail, hang, meet, big, slow, die, environment, process, change, pictures, structured.
How it misbehaves is said by its arguments, see below.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time

flags = argparse.ArgumentParser()
flags.add_argument("--exit", type=int, help="end at once, with this status")
flags.add_argument("--garbage", action="store_true", help="print what is no protocol, and answer nothing")
flags.add_argument("--silent", action="store_true", help="read all, answer nothing")
flags.add_argument("--start-after", type=float, default=0, help="answer nothing for so many seconds")
flags.add_argument("--refuse", help="answer the handshake with an error of this text")
flags.add_argument("--no-list", action="store_true", help="never answer tools/list")
flags.add_argument("--many", type=int, default=0, help="offer so many tools more, on pages of 50")
flags.add_argument("--bad-schemas", action="store_true", help="offer tools whose schema is no object's")
flags.add_argument("--only", help="offer only these tools, separated by commas")
flags.add_argument("--journal", help="append a line for each call, cancellation and start to this file")
flags.add_argument("--grandchild", action="store_true", help="start a process that outlives us if nobody kills it")
flags.add_argument("--deaf", action="store_true", help="do not end when stdin or SIGTERM says so")
flags.add_argument("--sequential", action="store_true", help="one call at a time, as simple servers do")
flags.add_argument("--say", help="write this to stderr at the start")
flags.add_argument("--meeting", type=int, default=2, help="so many calls of meet wait for each other")
flags.add_argument("--not-while", help="end at once while there is a file of this name")
flags.add_argument("--flood-pings", action="store_true", help="ask on and read nothing once the tools are listed")
flags.add_argument("--restless", action="store_true", help="say all the time that the tools have changed")
flags.add_argument("--refuse-calls", help="answer each call with an error of this text")
flags.add_argument("--peep", action="store_true", help="write down whether the parent's environment can be read")
args = flags.parse_args()

lock = threading.Lock()
journal_lock = threading.Lock()
cancelled = set()
cancelling = threading.Condition()
meeting = threading.Barrier(args.meeting)
running = 0
extra = []


def journal(line):
    if args.journal:
        with journal_lock, open(args.journal, "a") as file:
            file.write(line + "\n")


def send(message):
    line = json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False) + "\n"
    with lock:
        sys.stdout.buffer.write(line.encode())
        sys.stdout.buffer.flush()


def text(content, **more):
    return {"content": [{"type": "text", "text": content}], **more}


def tool(name, properties=None):
    schema = {"type": "object", "properties": properties or {}}
    return {"name": name, "description": f"The tool {name}.", "inputSchema": schema}


def hang(call, seconds, until=None):
    """Waits for the end, for a file to be there, or for somebody to say that it is no longer wanted."""
    end = time.monotonic() + seconds
    with cancelling:
        while call not in cancelled and time.monotonic() < end and not (until and os.path.exists(until)):
            cancelling.wait(min(0.05 if until else 0.2, max(0, end - time.monotonic())))


def flood():
    number = 0
    while True:
        number += 1
        send({"id": number, "method": "ping"})


def never_rest():
    while True:
        time.sleep(0.02)
        send({"method": "notifications/tools/list_changed"})


def peep():
    try:
        with open(f"/proc/{os.getppid()}/environ", "rb") as file:
            file.read()
        journal("parent open")
    except OSError:
        journal("parent closed")


def change():
    extra.append(tool(f"new_{len(extra) + 1}"))
    send({"method": "notifications/tools/list_changed"})
    return text("changed")


def call(name, arguments, call_id):
    if name == "echo":
        return text(arguments.get("text", ""))
    if name == "fail":
        return text("it did not work", isError=True)
    if name == "hang":
        hang(call_id, 3600)
        return None
    if name == "slow":
        until = arguments.get("until")
        hang(call_id, float(arguments.get("seconds", 3600 if until else 1)), until)
        return text("at last")
    if name == "meet":
        meeting.wait()
        return text("met")
    if name == "big":
        return text("ab" * (int(arguments.get("bytes", 4 << 20)) // 2))
    if name == "die":
        os._exit(3)
    if name == "environment":
        return text(json.dumps(dict(os.environ)))
    if name == "process":
        return text(json.dumps({"pid": os.getpid(), "cwd": os.getcwd(), "running": running}))
    if name == "change":
        return change()
    if name == "pictures":
        return {"content": [{"type": "image", "mimeType": "image/png", "data": "AAAA"}]}
    if name == "structured":
        return {"content": [], "structuredContent": {"answer": 42}}
    if any(name == known["name"] for known in tools()):
        return text(name)
    raise KeyError(name)


def tools():
    names = "echo fail hang slow meet big die environment process change pictures structured".split()
    listed = [tool(name, {"text": {"type": "string"}} if name == "echo" else None) for name in names]
    if args.bad_schemas:
        listed += [
            {"name": "no_schema"},
            {"name": "text_schema", "inputSchema": "no"},
            {"name": "list_schema", "inputSchema": {"type": "array"}},
        ]
    listed += [tool(f"tool_{number}") for number in range(args.many)] + extra
    if args.only:
        listed = [one for one in listed if one["name"] in args.only.split(",")]
    return listed


def answer(message):
    global running
    method, call_id, params = message["method"], message["id"], message.get("params") or {}
    try:
        if method == "initialize":
            if args.refuse:
                send({"id": call_id, "error": {"code": -32600, "message": args.refuse}})
                return
            version = params["protocolVersion"]
            about = {"name": "scripted", "version": "1", "client": params["clientInfo"]["name"]}
            result = {"protocolVersion": version, "capabilities": {"tools": {"listChanged": True}}, "serverInfo": about}
        elif method == "ping":
            result = {}
        elif method == "tools/list":
            if args.no_list:
                return
            start = int(params.get("cursor") or 0)
            if args.restless:
                journal("listed")
            result = {"tools": tools()[start : start + 50]}
            if start + 50 < len(tools()):
                result["nextCursor"] = str(start + 50)
        elif method == "tools/call":
            journal("call " + params["name"])
            for name, value in sorted((params.get("_meta") or {}).items()):
                if name.startswith("trace"):
                    journal(f"{name} {value}")
            if args.refuse_calls:
                send({"id": call_id, "error": {"code": -32000, "message": args.refuse_calls}})
                return
            with lock:
                running += 1
            try:
                result = call(params["name"], params.get("arguments") or {}, call_id)
            finally:
                with lock:
                    running -= 1
            if result is None or call_id in cancelled:
                return
        else:
            send({"id": call_id, "error": {"code": -32601, "message": f"no method {method}"}})
            return
        send({"id": call_id, "result": result})
        if method == "tools/list" and args.flood_pings:
            flood()
    except KeyError as error:
        send({"id": call_id, "error": {"code": -32602, "message": f"unknown tool {error}"}})


def main():
    if args.not_while and os.path.exists(args.not_while):
        sys.exit(9)
    journal(f"start {os.getpid()}")
    if args.say:
        print(args.say, file=sys.stderr, flush=True)
    if args.deaf:
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if args.grandchild:
        child = subprocess.Popen(["sleep", "3600"])
        journal(f"grandchild {child.pid}")
    if args.exit is not None:
        sys.exit(args.exit)
    if args.garbage:
        for _ in range(100):
            print("this is no protocol", flush=True)
    time.sleep(args.start_after)
    if args.peep:
        peep()
    if args.restless:
        threading.Thread(target=never_rest, daemon=True).start()
    for line in sys.stdin.buffer:
        if args.silent or args.garbage:
            continue
        message = json.loads(line)
        if message.get("method") == "notifications/cancelled":
            journal("cancelled")
            with cancelling:
                cancelled.add(message["params"]["requestId"])
                cancelling.notify_all()
        elif "id" in message and "method" in message:
            if args.sequential or message["method"] != "tools/call":
                answer(message)
            else:
                threading.Thread(target=answer, args=(message,), daemon=True).start()
    if args.deaf:
        time.sleep(3600)
    # Calls that are still running are daemon threads, which must not write while the interpreter ends.
    os._exit(0)


main()
