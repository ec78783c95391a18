#!/usr/bin/env python3
"""Tokens per second of early-exit at full depth (and with a policy) beside CTranslate2 and llama.cpp, measured in turns.

Every part is an argument, and one that is not there is left out with a message; README.md says how each is made. Standard library only.
All programs get the same rows of ids, the same number of threads, and the same forced number of new tokens; loading is never counted, and
each has generated before it is measured. Rounds go through all of them, in another order each time.
"""
import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


class Failed(Exception):
    """A program that did not give its figures."""


def run(command):
    """What a program writes on standard output."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failed(str(error)) from error
    if result.returncode != 0:
        lines = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise Failed(lines[-1] if lines else f"exit code {result.returncode}")
    return result.stdout


class EarlyExit:
    """A bundle, measured by `early-exit bench`; with a policy it is two contestants."""

    def __init__(self, tool, name, bundle, policy):
        self.tool, self.name, self.bundle, self.policy = shlex.split(tool), name, bundle, policy
        self.largest_batch = None

    def measure(self, job):
        options = {"minNewTokens": job.least, "maxNewTokens": job.most} if job.least else {"maxNewTokens": job.most}
        file = job.folder / "options.json"
        file.write_text(json.dumps(options))
        command = [*self.tool, "bench", self.bundle, "--json", "--rounds", "1", "--input", str(job.file), "--options", str(file),
                   "--batch", str(job.batch), "--threads", str(job.threads)]
        report = json.loads(run(command + (["--policy", self.policy] if self.policy else [])))
        figures = {self.name: (report["fullDepth"]["tokens"], report["fullDepth"]["seconds"])}
        if self.policy:
            figures[f"{self.name}, policy"] = (report["tokens"], report["seconds"])
        return figures


class CTranslate2:
    """A CTranslate2 model, measured by ct2_calls.py in an environment that has the package."""

    def __init__(self, python, name, model):
        self.python, self.name, self.model = python, name, model
        self.largest_batch = None

    def measure(self, job):
        program = Path(__file__).with_name("ct2_calls.py")
        report = json.loads(run([self.python, str(program), self.model, str(job.file), str(job.threads), str(job.batch), str(max(1, job.least)),
                                 str(job.most)]))
        return {self.name: (report["tokens"], report["seconds"])}


class LlamaCpp:
    """A GGUF file, measured by a program of the form that README.md describes; it generates row by row."""

    def __init__(self, program, name, model):
        self.program, self.name, self.model = shlex.split(program), name, model
        self.largest_batch = 1

    def measure(self, job):
        out = run([*self.program, "generate", self.model, str(job.file), str(job.folder / "llama.jsonl"), "--threads", str(job.threads),
                   "--min-new-tokens", str(max(1, job.least)), "--max-new-tokens", str(job.most), "--repeat", "2"])
        found = re.search(r"(\d+) tokens, ([\d.]+) s", out)
        if not found:
            raise Failed(f"it printed no figures but {out.strip()[:200]!r}")
        return {self.name: (int(found[1]), float(found[2]))}


class Job:
    """What all programs are to do: calls of `batch` rows, with at least and at most so many new tokens."""

    def __init__(self, folder, rows, batch, calls, least, most, threads):
        self.folder, self.batch, self.least, self.most, self.threads = folder, batch, least, most, threads
        self.file = folder / f"rows-{batch}.jsonl"
        rows = rows[:batch * calls]
        self.rows = len(rows)
        self.calls = -(-len(rows) // batch)
        self.file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def named(text):
    """NAME=PATH, or a path whose last part is the name."""
    name, separator, path = text.partition("=")
    return (name, path) if separator else (Path(text).stem, text)


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", required=True, help="""rows as JSON lines: {"inputIds": [...]}""")
    parser.add_argument("--tool", default="early-exit", help="the command that starts the tool; its words are split as a shell does")
    parser.add_argument("--bundle", action="append", default=[], metavar="[NAME=]FOLDER", help="a model bundle; may be given several times")
    parser.add_argument("--policy", help="an exit policy: every bundle is also measured with it")
    parser.add_argument("--ct2", action="append", default=[], metavar="[NAME=]FOLDER", help="a CTranslate2 model; may be given several times")
    parser.add_argument("--ct2-python", default=sys.executable, help="a Python that has the package ctranslate2")
    parser.add_argument("--llama", action="append", default=[], metavar="[NAME=]FILE", help="a GGUF file; may be given several times")
    parser.add_argument("--llama-program", help="the command that starts the program for GGUF files")
    parser.add_argument("--tokens", type=int, default=32, help="new tokens of every row, 32 by default")
    parser.add_argument("--natural", action="store_true", help="rows end where the model ends them, after --tokens at the latest")
    parser.add_argument("--batch", type=int, action="append", help="rows of a call, 1 and 8 by default; may be given several times")
    parser.add_argument("--calls", type=int, default=4, help="calls of a measurement, as far as there are rows; 4 by default")
    parser.add_argument("--rounds", type=int, default=5, help="5 by default")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads of every program, by default one for each processor")
    parser.add_argument("--log", help="a file of measurements: those in it count too, and new ones are added, so that rounds can be run one by one")
    arguments = parser.parse_args()
    if min(arguments.tokens, arguments.calls, arguments.rounds, arguments.threads, *(arguments.batch or [1])) < 1:
        parser.error("--tokens, --batch, --calls, --rounds and --threads must be at least 1")
    if arguments.tokens < 2:
        parser.error("--tokens must be at least 2: a later step is the difference between that length and one token")
    return arguments


def contestants(arguments):
    """Those whose parts are there; a message for each of the others."""
    found = []
    for kind, texts, make, missing in (
            ("bundle", arguments.bundle, lambda *one: EarlyExit(arguments.tool, *one, arguments.policy), None),
            ("CTranslate2 model", arguments.ct2, lambda *one: CTranslate2(arguments.ct2_python, *one), None),
            ("GGUF file", arguments.llama, lambda *one: LlamaCpp(arguments.llama_program, *one),
             None if arguments.llama_program else "no --llama-program")):
        for name, path in map(named, texts):
            reason = missing or (None if Path(path).exists() else f"there is no {path}")
            if reason:
                print(f"{name} is left out ({kind}): {reason}", file=sys.stderr)
            else:
                found.append(make(name, path))
    return found


def measure(arguments, rows, entries, add):
    """All rounds; hands over every measurement as soon as it is there."""
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(arguments.rounds):
            for batch in arguments.batch or [1, 8]:
                if batch > len(rows):
                    print(f"batch {batch} is left out: there are {len(rows)} rows", file=sys.stderr)
                    continue
                for most in (arguments.tokens, 1):
                    least = 0 if arguments.natural and most > 1 else most
                    job = Job(Path(temporary), rows, batch, arguments.calls, least, most, arguments.threads)
                    # Whoever comes later finds the machine warmer.
                    for one in entries[number % len(entries):] + entries[:number % len(entries)]:
                        if one.largest_batch is not None and batch > one.largest_batch:
                            continue
                        print(f"round {number + 1} of {arguments.rounds}: {one.name}, batch {batch}, {most} tokens", file=sys.stderr)
                        try:
                            figures = one.measure(job)
                        except Failed as error:
                            print(f"{one.name} gave no figures: {error}", file=sys.stderr)
                            continue
                        for name, (tokens, seconds) in figures.items():
                            add({"name": name, "batch": batch, "most": most, "forced": least > 0, "rows": job.rows, "calls": job.calls,
                                 "tokens": tokens, "seconds": seconds})


def spread(values, digits):
    """Median, lowest and highest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})" if values else "–"


def table(arguments, log):
    """The rows of the tables in Markdown."""
    measurements = {}
    for one in log:
        measurements.setdefault((one["name"], one["batch"], one["most"]), []).append(one)
    names = list(dict.fromkeys(one["name"] for one in log))
    ours = [name for name in names if name.removesuffix(", policy") in {named(text)[0] for text in arguments.bundle}]
    rate = {}
    for batch in sorted({one["batch"] for one in log}):
        print(f"\nBatch {batch}, {arguments.threads} threads, {'at most ' if arguments.natural else ''}{arguments.tokens} new tokens: "
              "median (lowest to highest)\n")
        print("| | tokens/s | encoder and first token, ms a row | a later step, ms | rounds |\n|---|---|---|---|---|")
        for name in names:
            whole, first = (measurements.get((name, batch, most), []) for most in (arguments.tokens, 1))
            if not whole:
                continue
            rates = [one["tokens"] / one["seconds"] for one in whole]
            rate[name, batch] = statistics.median(rates)
            steps = [1000 * (one["seconds"] - other["seconds"]) / one["calls"] / (arguments.tokens - 1)
                     for one, other in zip(whole, first) if one["forced"]]
            print(f"| {name} | {spread(rates, 1)} | {spread([1000 * one['seconds'] / one['rows'] for one in first], 0)} | {spread(steps, 1)} "
                  f"| {len(whole)} |")
    peers = [name for name in names if name not in ours]
    if not ours or not peers:
        return
    print("\nTokens per second, ratio of the medians\n")
    batches = sorted({batch for _, batch in rate})
    print("| | against | " + " | ".join(f"batch {batch}" for batch in batches) + " |\n|---|---|" + "---|" * len(batches))
    for mine in ours:
        for peer in peers:
            ratios = [f"{rate[mine, batch] / rate[peer, batch]:.2f}" if (mine, batch) in rate and (peer, batch) in rate else "–" for batch in batches]
            print(f"| {mine} | {peer} | " + " | ".join(ratios) + " |")


def main():
    arguments = parse()
    try:
        rows = [json.loads(line) for line in Path(arguments.rows).read_text(encoding="utf-8").splitlines() if line.strip()]
        rows = [{"id": number, "inputIds": row["inputIds"]} for number, row in enumerate(rows)]
        if not rows:
            raise ValueError("there is none")
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"The rows of {arguments.rows} cannot be read: {error}", file=sys.stderr)
        return 1
    log = []
    if arguments.log and Path(arguments.log).exists():
        log = [json.loads(line) for line in Path(arguments.log).read_text(encoding="utf-8").splitlines()]

    def add(measurement):
        log.append(measurement)
        if arguments.log:
            with open(arguments.log, "a", encoding="utf-8") as file:
                file.write(json.dumps(measurement) + "\n")

    entries = contestants(arguments)
    if not entries and not log:
        print("There is nothing to measure: give --bundle, --ct2 or --llama with what is there.", file=sys.stderr)
        return 2
    try:
        if entries:
            measure(arguments, rows, entries, add)
    except KeyboardInterrupt:
        print("Stopped; the tables are of what was measured.", file=sys.stderr)
    if log:
        table(arguments, log)
    return 0 if log else 1


if __name__ == "__main__":
    sys.exit(main())
