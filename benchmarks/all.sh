#!/usr/bin/env bash
# Every row of benchmarks/results/targets.md on this machine: the GPU's where there is one, then the
# CPU's. Ten minutes each.
#
#   benchmarks/all.sh [--output DIR] [options of benchmarks/cpu.py]
#
# Results go to DIR, else to benchmarks/results: what benchmarks/gpu.sh writes, and cpu.md. The
# interpreter is $PYTHON, else `python3`. On a GPU's machine that lacks packages: benchmarks/gpu.sh.
set -uo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHON=${PYTHON:-python3} PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
output=$root/benchmarks/results
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=${2:?--output needs a folder}; shift 2 ;;
    --output=*) output=${1#--output=}; shift ;;
    -h|--help) sed -n '2,/^set -uo/s/^# \{0,1\}//p' "$0"; exit ;;
    *) arguments+=("$1"); shift ;;
  esac
done
mkdir -p "$output" || exit 2
status=0
if "$PYTHON" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  "$root/benchmarks/gpu.sh" --output "$output" || status=$?
else
  echo "No GPU here: rows that need one are left out."
fi
"$PYTHON" "$root/benchmarks/cpu.py" ${arguments[@]+"${arguments[@]}"} --output "$output/cpu.md" ||
  status=$?
exit "$status"
