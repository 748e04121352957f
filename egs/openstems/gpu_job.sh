#!/usr/bin/env bash
# Train on real music for some minutes on a machine that has a GPU, and neither this package nor a
# network connection. Two commands: the first where the data are, the second on the other machine,
# in a copy of the repository with the packed folder in it.
#
#   ./gpu_job.sh pack gpu_job --data data --selection ../musdb18hq/finetune/exp/estimates/selection.json
#   egs/openstems/gpu_job.sh train gpu_job --minutes 8 --out "$OUT"
#
# pack encodes the data as Opus (packed.py) and downloads the wheels that the other machine lacks
# to gpu_job/wheels. Its options, all as --name value:
#   data, selection  as of packed.py
#   megabytes        of the data (24): the repository and the wheels travel too
#   python_version, platforms  of the other machine (3.12, "manylinux_2_28_x86_64 ...")
#
# train installs the wheels beside the packages that are there, decodes the data, measures the
# speed of training in two short runs, chooses the number of examples that fit the minutes, and trains
# conf/real.yml. Its options:
#   minutes     from the command's start to its end, with a tenth to spare (8)
#   out         gets model.pth in float16, ledger.json, conf.yml, manifest.json and train.log (gpu_job_out)
#   work        new folder of the decoded data and the run, best in memory (/dev/shm/gpu_job)
#   row         configuration (conf/real.yml)
#   start_from  weights to start from (random)
#   batch       examples a step (32)
#   precision   32-true or bf16-mixed (bf16-mixed)
#   accelerator, workers, seed  (auto, 8, 1)
#   epochs      that the examples are divided into, each with a validation (5)
#   trial       examples of the first short run; the second has four times as many (320)
#   set         changes of the configuration
#   python      interpreter with torch and Lightning (python3)

set -e
set -o pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
began=$(date +%s)

command=$1 packed=$2
if [[ ($command != pack && $command != train) || -z $packed ]]; then
    echo "usage: $0 pack|train DIR [--name value ...]; the head of this file says more" >&2
    exit 2
fi
shift 2
packed=$(realpath -m "$packed")

data=$here/data
selection=
megabytes=24
python_version=3.12
platforms="manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64
    manylinux1_x86_64"
minutes=8
out=gpu_job_out
work=/dev/shm/gpu_job
row=$here/conf/real.yml
start_from=
batch=32
precision=bf16-mixed
accelerator=auto
workers=8
seed=1
epochs=5
trial=320
set=
python=python3
. "$here/../musdb18hq/BSRNN/utils/parse_options.sh"

# What asteroid and this package import, but for what comes with torch and Lightning.
WHEELS="asteroid==0.7.0 asteroid-filterbanks==0.4.0 soundfile soxr cffi pycparser julius
    torch-optimizer pytorch-ranger torch-stoi pystoi pb-bss-eval cached-property torch-audiomentations
    torch-pitch-shift primePy"

if [[ $command == pack ]]; then
    [[ $python != python3 || ! -x $root/.venv/bin/python ]] || python=$root/.venv/bin/python
    "$python" "$here/packed.py" pack "$packed" --data "$data" --selection "$selection" \
        --megabytes "$megabytes"
    options=(--no-deps --only-binary=:all: --implementation cp)
    for platform in $platforms; do options+=(--platform "$platform"); done
    "$python" -m pip download -q "${options[@]}" --python-version "$python_version" \
        -d "$packed/wheels" $WHEELS
    du -sh "$packed"
    exit 0
fi

if [[ -e $work ]]; then
    echo "$0: error: $work exists already; remove it, or name another --work" >&2
    exit 2
fi
out=$(realpath -m "$out")
mkdir -p "$out" "$work"
exec > >(tee "$out/train.log") 2>&1
"$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
    --target "$work/site" "$packed"/wheels/*.whl
export PYTHONPATH=$root:$work/site PYTHONUNBUFFERED=1
"$python" -c "import torch; print(torch.__version__, torch.cuda.is_available())"
"$python" "$here/packed.py" unpack "$packed" "$work"
echo "decoded after $(($(date +%s) - began)) s"

train() {  # name of the run, examples an epoch, epochs, stages
    local changes="data.samples_per_epoch=$2 training.max_epochs=$3 training.patience=$3"
    changes+=" training.batch_size=$batch training.accumulate=1 training.seed=$seed"
    changes+=" data.workers=$workers data.validation_tracks=$work/data/validation_tracks.txt"
    changes+=" data.infos=$work/data/infos.json energy.track=false${set:+ $set}"
    "$root/egs/musdb18hq/finetune/run.sh" --songs "$work/songs.json" --root "$work/data" \
        --estimates "$work/estimates" --musdb18hq false --row "$row" --exp "$work/exp" --tag "$1" \
        --stage "$4" --stop_stage "$5" --precision "$precision" --accelerator "$accelerator" \
        --python "$python" --set "$changes" ${start_from:+--start_from "$start_from"}
}

name=$(basename "$row" .yml)
train trial_short "$trial" 1 0 3
train trial_long "$((4 * trial))" 1 3 3
# Two lengths tell the speed from what each run takes besides: its start and a validation.
per_epoch=$("$python" - "$work/exp/train_${name}_trial" "$trial" "$epochs" "$batch" \
    "$(awk "BEGIN {print 54 * $minutes - ($(date +%s) - $began)}")" <<'END'
import json
import sys

runs, trial, epochs, batch, left = sys.argv[1], *map(float, sys.argv[2:])
short, long = (
    json.load(open(f"{runs}_{length}/ledger.json"))["sessions"][-1]["wall_seconds"]
    for length in ("short", "long")
)
rate = 3 * trial / max(long - short, 0.1 * long)
besides = max(short - trial / rate, 0)
left -= besides * (1 + 0.5 * (epochs - 1))
print(max(int(left * rate / epochs / batch), 1) * int(batch))
END
)
echo "trials done after $(($(date +%s) - began)) s: $per_epoch examples in each of $epochs epochs"
train full "$per_epoch" "$epochs" 3 3
run=$work/exp/train_${name}_full
"$python" - "$run/best_model.pth" "$out/model.pth" <<'END'
import sys

from asteroid_bsrnn.weights import checkpoint

model = checkpoint.load_dict(sys.argv[1])
model["state_dict"] = {name: value.half() for name, value in model["state_dict"].items()}
checkpoint.save_dict(model, sys.argv[2])
END
cp "$run/ledger.json" "$run/conf.yml" "$packed/manifest.json" "$out"
echo "done after $(($(date +%s) - began)) s: $out"
