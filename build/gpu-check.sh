#!/usr/bin/env bash
# Shows, on a machine with a CUDA device, that models run there whole and give the CPU's tokens up to near-ties, and how fast: build/gpu-check.sh [BUNDLE]
# Builds with ONNX Runtime's CUDA package into artifacts/gpu, runs the tests of GpuTests, and measures BUNDLE, by default the demo model in bf16, at full depth
# and with exits, one row and eight at a time. Ends with 0 where all of it worked.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! devices=$(nvidia-smi -L 2> /dev/null) || ! grep -q '^GPU ' <<< "$devices"; then
    echo "There is no CUDA device here that nvidia-smi lists, so nothing was checked." >&2
    exit 1
fi
echo "$devices"

out=artifacts/gpu
for project in test/Microsoft.ML.EarlyExit.Tests src/Microsoft.ML.EarlyExit.Tool; do
    dotnet build -c Release -v q --nologo "$project" -p:OnnxRuntimeFlavor=Gpu --artifacts-path "$out"
done

# Sessions that would leave a node to the CPU are refused there. Tokens on 40 prompts are compared with the CPU's: 38 outputs must be equal in fp32, 34 in bf16,
# and the others up to where the CPU's token leads by less than 1e-4, or 0.1 in bf16. Such tests run only where they are asked for.
log=$out/tests.log
dotnet "$out/bin/Microsoft.ML.EarlyExit.Tests/release/Microsoft.ML.EarlyExit.Tests.dll" -class '*.GpuTests' -explicit only -showLiveOutput -noColor | tee "$log"
if ! grep -Eq 'Total: [1-9][0-9]*, Errors: 0, Failed: 0, Skipped: 0, Not Run: 0' "$log"; then
    echo "Not all tests ran." >&2
    exit 1
fi

early_exit() { dotnet "$out/bin/Microsoft.ML.EarlyExit.Tool/release/Microsoft.ML.EarlyExit.Tool.dll" "$@"; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bundle=${1:-}
if [ -z "$bundle" ]; then
    bundle=$work/t5-restaurants.bundle
    early_exit convert samples/t5-restaurants "$bundle" --weights bf16
fi

for task in describe question; do head -n 20 "test/fixtures/demo/$task-test.jsonl"; done > "$work/prompts.jsonl"
echo '{ "minimumLayer": 4, "threshold": 0.9 }' > "$work/policy.json"
for batch in 1 8; do
    echo "Rows at a time: $batch"
    early_exit bench "$bundle" --gpu 0 --input "$work/prompts.jsonl" --policy "$work/policy.json" --batch "$batch"
done
