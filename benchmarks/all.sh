#!/usr/bin/env bash
# Measure every row of benchmarks/results/targets.md that this machine can show: those of a GPU if
# there is one, then those of the CPU. Each takes ten minutes.
#
#   benchmarks/all.sh [--output DIR] [options of benchmarks/cpu.py]
#
# Results are written to DIR, by default benchmarks/results: those of benchmarks/gpu.sh, and cpu.md.
# The interpreter is $PYTHON, by default `python3`. If packages are missing: see benchmarks/gpu.sh.
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
