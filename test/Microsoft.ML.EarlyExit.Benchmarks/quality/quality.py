#!/usr/bin/env python3
"""What fewer bits cost: bundles of one model in several precisions beside each other, the first one being what the others are compared with.

Rows are those of `early-exit generate` with references ("references", for ROUGE-L and BLEU) or answers ("answers", for F1 and exact match). Prints a table
in Markdown: outputs equal to the first bundle's; those that are another text, and how many of these are scored worse (by ROUGE-L, or F1); the corpus
figures; the mean log-probability that the last layer gives the first reference; and the largest difference of a reference token's log-probability after each
layer. Standard library only.

    python3 quality.py --rows test/fixtures/demo/describe-test.jsonl --rows test/fixtures/demo/question-test.jsonl \\
        --bundle fp32=demo.bundle --bundle int8=demo-int8.bundle
"""
import argparse
import json
import shlex
import subprocess
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--tool", default="early-exit", help="the command that starts the tool; its words are split as a shell does")
parser.add_argument("--bundle", action="append", required=True, metavar="NAME=FOLDER", help="a bundle; may be given several times")
parser.add_argument("--rows", action="append", required=True, metavar="FILE", help="rows with references or answers; may be given several times")
parser.add_argument("--batch", default=8, type=int, help="rows side by side, 8 by default")
arguments = parser.parse_args()


def tool(*words):
    done = subprocess.run([*shlex.split(arguments.tool), *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"early-exit {words[0]} failed: {done.stderr.strip()[-400:]}")
    return done.stdout


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def evaluate(kind, rows, folder, *more):
    tool("evaluate", kind, "--input", write(folder / "pairs.jsonl", rows), "--output", folder / "figures.json", *more)
    return json.loads((folder / "figures.json").read_text(encoding="utf-8"))


def measure(bundle, rows, folder):
    key = "answers" if "answers" in rows[0] else "references"
    source = write(folder / "in.jsonl", [{"id": row["id"], "text": row["text"]} for row in rows])
    tool("generate", bundle, "--input", source, "--output", folder / "out.jsonl", "--batch", arguments.batch)
    made = read(folder / "out.jsonl")
    pairs = [{"prediction": one["text"], key: row[key]} for one, row in zip(made, rows)]
    if key == "answers":
        figures = evaluate("squad", pairs, folder, "--rows", folder / "each.jsonl")
        corpus = {"F1": figures["f1"], "exact match": figures["exactMatch"]}
        scores = [one["f1"] for one in read(folder / "each.jsonl")]
    else:
        figures = evaluate("rouge", pairs, folder, "--rows", folder / "each.jsonl")
        corpus = {"ROUGE-L": 100 * figures["rougeL"]["fMeasure"], "BLEU": evaluate("bleu", pairs, folder)["score"]}
        scores = [one["rougeL"]["fMeasure"] for one in read(folder / "each.jsonl")]
    targets = write(folder / "targets.jsonl", [{"id": row["id"], "text": row["text"], "target": row[key][0]} for row in rows])
    tool("score", bundle, "--input", targets, "--output", folder / "scores.jsonl")
    layers = [one["layers"] for one in read(folder / "scores.jsonl")]
    return {"tokens": [one["tokenIds"] for one in made], "corpus": corpus, "scores": scores,
            "logs": [[layer["logProbability"] for layer in row] for row in layers]}


with tempfile.TemporaryDirectory() as temporary:
    for path in map(Path, arguments.rows):
        rows = read(path)
        first = None
        for given in arguments.bundle:
            name, bundle = given.split("=", 1)
            this = measure(bundle, rows, Path(temporary))
            if first is None:
                first = this
                print(f"\n{path.name}, {len(rows)} rows\n\n| | outputs equal | worse | " + " | ".join(this["corpus"])
                      + " | log-probability of the reference | largest difference of it after a layer |\n|" + "---|" * (5 + len(this["corpus"])))
            equal = sum(one == other for one, other in zip(this["tokens"], first["tokens"]))
            worse = sum(one < other for one, other in zip(this["scores"], first["scores"]))
            last = [value for row in this["logs"] for value in row[-1]]
            off = [max(abs(one - other) for mine, theirs in zip(this["logs"], first["logs"]) for one, other in zip(mine[layer], theirs[layer]))
                   for layer in range(len(first["logs"][0]))]
            print(f"| {name} | {equal} | {worse} | " + " | ".join(f"{value:.2f}" for value in this["corpus"].values())
                  + f" | {sum(last) / len(last):.4f} | " + ", ".join(f"{value:.2f}" for value in off) + " |", flush=True)
