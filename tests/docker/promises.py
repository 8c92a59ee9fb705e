"""What docker/docker-compose.yml promises, asked of what Compose makes of it: `promises.py PROFILES.json PLAIN.json`."""

import json
import re
import sys

everything, plain = (json.load(open(path)) for path in sys.argv[1:])
services = everything["services"]
wrong = []


def promise(holds, words):
    if not holds:
        wrong.append(words)


def seconds(text):
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)([hms])", text))


promise(set(plain["services"]) == {"api", "redis"}, "without a profile there are the API and Redis")
promise(everything["name"] == "chat-agent", "volumes and networks are called after the service, not after a folder")

published = {name: service.get("ports", []) for name, service in services.items() if service.get("ports")}
promise(list(published) == ["api"], f"only the API is published, not {list(published)}")
promise([(port["target"], port["published"]) for port in published["api"]] == [(8000, "8000")], "and that is port 8000")

for name, service in services.items():
    promise(service.get("read_only") is True, f"{name}: the root is read-only")
    promise(service.get("cap_drop") == ["ALL"] and not service.get("cap_add"), f"{name}: no capabilities")
    promise(service.get("security_opt") == ["no-new-privileges:true"], f"{name}: no new privileges")
    # See the file: its children could read an init's environment.
    promise(service.get("init") is (name != "api"), f"{name}: something reaps, and nothing shows the API's secrets")
    promise(not service.get("privileged") and "network_mode" not in service and "pid" not in service, f"{name}: no namespace of the host")
    promise(service.get("restart") == "unless-stopped", f"{name}: comes back")
    promise(service["logging"]["options"].get("max-size"), f"{name}: the log has an end")
    promise("build" in service or service.get("user") not in (None, "root", "0"), f"{name}: not root")
    for variable, value in (service.get("environment") or {}).items():
        secret = re.search("PASSWORD|KEY|TOKEN|SECRET", variable) and variable != "MARIADB_RANDOM_ROOT_PASSWORD"
        promise(not (secret and value), f"{name}: {variable} has a value for everybody")
    for volume in service.get("volumes", []):
        if volume["type"] == "bind":
            promise(volume.get("read_only"), f"{name}: what is the host's is read only: {volume['target']}")
            promise("docker.sock" not in volume["source"], f"{name}: no way to the engine")
    for other, how in service.get("depends_on", {}).items():
        promise(how["condition"] == "service_healthy", f"{name}: waits for {other} to be healthy")
        promise("healthcheck" in services[other], f"{other}: can be healthy")

api = services["api"]
promise(list(api["depends_on"]) == ["redis"], "the API needs nothing of a profile")
promise(seconds(api["stop_grace_period"]) > 30, "running requests may finish: SHUTDOWN_GRACE_SECONDS")
promise("storage" in api["networks"] and "default" in api["networks"], "the API reaches the databases, and models")
for name in ("redis", "mysql", "mongodb"):
    promise(list(services[name]["networks"]) == ["storage"], f"{name}: nobody but the API")
promise(list(services["ham3d-db"]["networks"]) == ["catalogue"], "ham3d-db: nobody but mcp-ham3d")
for name in ("storage", "catalogue"):
    promise(everything["networks"][name].get("internal"), f"the network {name} has no way out")
volumes = {volume["target"]: volume.get("source") for volume in api["volumes"]}
promise(volumes.get("/var/lib/chat-agent/spool") == "spool", "what waits for the archive is kept")
promise(api["environment"]["HISTORY_SPOOL_DIR"] == "/var/lib/chat-agent/spool", "and waits there")
redis = services["redis"]
promise([volume.get("source") for volume in redis["volumes"]] == ["redis-data"], "Redis keeps its data in redis-data")
command = " ".join(redis["command"])
promise("--appendonly yes" in command and "noeviction" in command, "Redis keeps what it has acknowledged")

for words in wrong:
    print(f"docker-compose.yml does not keep: {words}", file=sys.stderr)
sys.exit(bool(wrong))
