#!/usr/bin/env bash
# Measure training, separation, loading, memory, energy and the kernels on a GPU in ten minutes.
#
#   benchmarks/gpu.sh [--output DIR] [--wheels DIR] [--sections NAME ...] [--minutes 9.5] [--quick]
#                     [--device cuda]
#
# It builds and downloads nothing. The interpreter is $PYTHON, by default `python3`; it must have
# torch with CUDA and Triton. matplotlib (plot) and nvidia-ml-py (energy) are optional. Other missing
# packages can be on PYTHONPATH, or wheels in a folder, `--wheels DIR`, which are unpacked to a
# temporary folder. For Python 3.12 on Linux, this command downloads the wheels:
#
#   pip download --no-deps --only-binary=:all: --python-version 3.12 \
#     --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 -d DIR \
#     asteroid asteroid-filterbanks torch-stoi pystoi soundfile soxr cffi pycparser
#
# Results are written to the folder of --output, else to $OUT if it is set, else to
# benchmarks/results: results.jsonl with a line for each measurement, gpu_<device>.md with the
# tables after every section, and the learning curves as .csv and .png. An interrupted run keeps them.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
wheels=
arguments=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels) wheels=${2:?--wheels needs a folder}; shift 2 ;;
    --wheels=*) wheels=${1#--wheels=}; shift ;;
    -h|--help) sed -n '2,/^set -euo/s/^# \{0,1\}//p' "$0"; exit ;;
    *) arguments+=("$1"); shift ;;
  esac
done
path=$root
if [ -n "$wheels" ]; then
  site=$(mktemp -d)
  trap 'rm -rf "$site"' EXIT
  for wheel in "$wheels"/*.whl; do
    [ -e "$wheel" ] || { echo "error: $wheels: no wheels there" >&2; exit 2; }
    "$python" -m zipfile -e "$wheel" "$site"
  done
  path=$path:$site
fi
export PYTHONPATH=$path${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
"$python" "$root/benchmarks/gpu/run.py" ${arguments[@]+"${arguments[@]}"}
