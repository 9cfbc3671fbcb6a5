#!/usr/bin/env python3
"""Measures a station under load, on loopback: the tables of docs/station.md, "Measured".

    apt-get install apache2-utils
    cargo build --release
    shapeguard simulate --category biscuit --train 40 --validation 24 --good 4 --defective 4 --seed 7 --out /tmp/line
    shapeguard fit /tmp/line/biscuit -o /tmp/line/models/biscuit.shapeguard
    crates/shapeguard-station/measure/measure.py target/release/shapeguard /tmp/line

Needs nothing but Python and ab, ApacheBench. `--parts a,b` runs some of rates, overload, memory, history.
"""

import argparse
import json
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import urllib.request
import uuid

BOUNDARY = "XX"


class Station:
    """A server that runs until the block ends."""

    def __init__(self, program, line, data, *more):
        self.data = data
        command = [program, "serve", "--listen", "127.0.0.1:0", "--data", data, "--models", line / "models", *more]
        start = time.monotonic()
        self.process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True)
        self.address = re.search(r"http://\S+", self.process.stdout.readline()).group()
        with urllib.request.urlopen(self.address + "/health/ready"):
            self.start_seconds = time.monotonic() - start

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(self.address + path) as answer:
            return json.load(answer)

    def memory_mib(self, what="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(what + r":\s+(\d+)", status).group(1)) / 1024

    def load(self, body, requests, clients):
        return ab(requests, clients, self.address + "/v1/inspections", "-p", body, "-T", f"multipart/form-data; boundary={BOUNDARY}")

    def statuses(self):
        """How many inspections were answered with which status."""
        with urllib.request.urlopen(self.address + "/metrics") as answer:
            lines = answer.read().decode().splitlines()
        found = {}
        for line in lines:
            if line.startswith("shapeguard_http_requests_total{") and 'route="/v1/inspections"' in line and 'method="POST"' in line:
                found[re.search(r'status="(\d+)"', line).group(1)] = int(line.split()[-1])
        return found


def ab(requests, clients, address, *more):
    """Requests a second, percentiles in milliseconds, and how many were not answered with success."""
    command = ["ab", "-q", "-k", "-l", "-s", 120, "-n", requests, "-c", clients, *more, address]
    text = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True).stdout
    number = lambda pattern: float((re.search(pattern, text) or [0, 0])[1])
    return {
        "rate": number(r"Requests per second:\s+([\d.]+)"),
        "p50": number(r"\n\s+50%\s+(\d+)"),
        "p99": number(r"\n\s+99%\s+(\d+)"),
        "other": int(number(r"Non-2xx responses:\s+(\d+)") + number(r"Failed requests:\s+(\d+)")),
    }


def form(line):
    """A defective scan as the body of a request, and its files."""
    cloud = sorted(line.glob("biscuit/test/*/xyz/000.tiff"))[0]
    image = cloud.parent.parent / "rgb/000.png"
    body = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="model"\r\n\r\nbiscuit\r\n'.encode()
    for name, path in [("cloud", cloud), ("rgb", image)]:
        head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'
        body += head.encode() + path.read_bytes() + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode(), cloud


def bare(program, line, cloud, count):
    """Scans a second of `inspect`, without the time to load the model."""
    model = line / "models/biscuit.shapeguard"

    def run(n):
        start = time.monotonic()
        subprocess.run([program, "inspect", model, *[cloud] * n], stdout=subprocess.DEVNULL, check=False)
        return time.monotonic() - start

    return count / (run(count + 1) - run(1))


def rates(program, line, body, cloud, count):
    print("| clients | requests/s | of bare `inspect` | p50 ms | p99 ms | other than 201 |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=line) as data, Station(program, line, data, "--queue", 32) as station:
        station.load(body, 10, 2)
        for clients in [1, 4, 16]:
            # Beside every figure the bare one, since the machine may be busy with something else at times.
            alone = bare(program, line, cloud, count // 2)
            found = station.load(body, count, clients)
            rate = found["rate"]
            print(f"| {clients} | {rate:.2f} | {rate / alone:.2f} ({alone:.2f}) | {found['p50']:.0f} | {found['p99']:.0f} | {found['other']} |")


def overload(program, line, body, _, count):
    with tempfile.TemporaryDirectory(dir=line) as data:
        with Station(program, line, data, "--queue", 4) as station:
            station.load(body, count, 32)
            kept = station.get("/v1/status")["store"]["inspections"]
            statuses = station.statuses()
        answered = statuses.get("201", 0)
        table = pathlib.Path(data) / "parts.csv"
        subprocess.run([program, "history", "export", "--data", data, "--out", table], check=True)
        scores = {row.split(",")[7] for row in table.read_text().splitlines()[1:]}
        verify = subprocess.run([program, "history", "verify", "--data", data], capture_output=True, text=True)
    print(f"overload, {count} requests of 32 clients, --queue 4: {statuses};")
    print(f"  {kept} kept of {answered} answered; {len(scores)} different scores of one scan; verify: {verify.returncode}")
    assert kept == answered and len(scores) == 1 and verify.returncode == 0, verify.stdout + verify.stderr


def memory(program, line, body, _, count):
    print("| requests | resident MiB |\n|---|---|")
    step = 500
    with tempfile.TemporaryDirectory(dir=line) as data:
        with Station(program, line, data, "--queue", 32, "--keep-gib", "1") as station:
            station.load(body, 50, 4)
            for done in range(0, count + 1, step):
                print(f"| {done} | {station.memory_mib():.0f} |", flush=True)
                if done < count:
                    found = station.load(body, step, 4)
                    assert found["other"] == 0, found
            print(f"highest {station.memory_mib('VmHWM'):.0f} MiB")


def multiply(data, count):
    """Makes `count` inspections of the one that is there; they share its files."""
    database = sqlite3.connect(pathlib.Path(data) / "station.sqlite3")
    columns = [row[1] for row in database.execute("PRAGMA table_info(inspections)")]
    row = dict(zip(columns, database.execute("SELECT * FROM inspections").fetchone()))
    files = database.execute("SELECT role, sha256 FROM inspection_files WHERE inspection = ?", (row["n"],)).fetchall()
    first = row["id"]
    for i in range(1, count):
        row |= {"n": i + 1, "id": str(uuid.uuid4()), "received_ms": row["received_ms"] + 1000, "serial": f"S{i}"}
        new = row | {"record": row["record"].replace(first, row["id"])}
        marks = ",".join("?" * len(columns))
        database.execute(f"INSERT INTO inspections VALUES ({marks})", [new[column] for column in columns])
        rows = [(i + 1, role, sha256) for role, sha256 in files]
        database.executemany("INSERT INTO inspection_files VALUES (?, ?, ?)", rows)
    for _, sha256 in files:
        database.execute("UPDATE blobs SET uses = uses + ? WHERE sha256 = ?", (count - 1, sha256))
    database.commit()


def history(program, line, body, _, count):
    with tempfile.TemporaryDirectory(dir=line) as data:
        with Station(program, line, data) as station:
            station.load(body, 1, 1)
            empty = station.start_seconds
        multiply(data, count)
        with Station(program, line, data) as station:
            print(f"start to ready: {empty:.2f} s with 0, {station.start_seconds:.2f} s with {count} inspections")
            assert station.get("/v1/status")["store"]["inspections"] == count
            serial = f"serial=S{count // 2}"
            for query in ["limit=50", "limit=50&before=%d" % (count // 2), "limit=50&verdict=good", serial, "limit=1000"]:
                address = f"{station.address}/v1/inspections?{query}"
                found = ab(100, 1, address)
                print(f"GET /v1/inspections?{query}: p50 {found['p50']:.0f} ms, p99 {found['p99']:.0f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("line", type=pathlib.Path)
    parser.add_argument("--parts", default="rates,overload,memory,history")
    parser.add_argument("--requests", type=int, default=200, help="of each rate")
    options = parser.parse_args()
    assert shutil.which("ab"), "expected ab; apt-get install apache2-utils"
    content, cloud = form(options.line)
    body = options.line / "body"
    body.write_bytes(content)
    counts = {"rates": options.requests, "overload": 2 * options.requests, "memory": 5000, "history": 100_000}
    parts = {"rates": rates, "overload": overload, "memory": memory, "history": history}
    for name in options.parts.split(","):
        print(f"\n## {name}", flush=True)
        parts[name](options.program.resolve(), options.line, body, cloud, counts[name])


if __name__ == "__main__":
    main()
