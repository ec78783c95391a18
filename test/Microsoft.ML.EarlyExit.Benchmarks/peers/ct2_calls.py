"""Whole calls of CTranslate2 over rows of ids, for peers.py. Usage: ct2_calls.py MODEL ROWS.jsonl THREADS BATCH LEAST MOST

Greedy, with at least LEAST and at most MOST new tokens a row. Prints {"tokens", "seconds"}; loading and a first call are not counted.
"""
import json
import sys
import time
from pathlib import Path

import ctranslate2

model, rows, threads, batch, least, most = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7])
vocabulary = Path(model, "shared_vocabulary.json")
names = json.loads((vocabulary if vocabulary.exists() else Path(model, "source_vocabulary.json")).read_text(encoding="utf-8"))
inputs = [[names[token] for token in json.loads(line)["inputIds"]] for line in open(rows, encoding="utf-8")]
translator = ctranslate2.Translator(model, device="cpu", inter_threads=1, intra_threads=threads, compute_type="default")


def call(group):
    # max_batch_size 0 leaves the group together; max_input_length 0 cuts nothing.
    results = translator.translate_batch(group, beam_size=1, min_decoding_length=least, max_decoding_length=most, max_input_length=0,
                                         max_batch_size=0, return_end_token=True)
    return sum(len(result.hypotheses[0]) for result in results)


call(inputs[:batch])
start = time.perf_counter()
tokens = sum(call(inputs[at:at + batch]) for at in range(0, len(inputs), batch))
print(json.dumps({"tokens": tokens, "seconds": time.perf_counter() - start}))
