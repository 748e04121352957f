#!/usr/bin/env bash
# Train BSRNN's peers and rows at equal budgets on one data set, evaluate all, and compare them.
#
#   ./run.sh --root /data/musdb18hq --models "simo_bsrnn xumx conv_tasnet" --max_minutes 600
#
# Stages, from --stage (0) to --stop_stage (4):
#   0  check the data set                       2  train all models, or resume
#   1  find the active segments of every stem   3  evaluate them on the test tracks, and oracles
#                                               4  compare them: exp/comparison_<tag>.md, ...
#
# Options, all as --name value:
#   root        folder of MUSDB18-HQ, or of a data set in its layout, with train/ and test/ in it
#   models      peers (conv_tasnet dprnn_tasnet dptnet open_unmix sudormrf_improved xumx) and rows
#               of the BSRNN recipe, or rows' files elsewhere, as absolute paths in .yml; rows of
#               one source as row:source
#   also        further models that are only evaluated: names, files or URLs
#   layout      file (.yml) for data of other stems, such as ../BSRNN/conf/stems/two_stems.yml: its
#               group `layout` describes the data, its model.sources what all models estimate
#   max_minutes wall-clock time of each training, validation included
#   max_steps   number of optimiser steps, instead of or besides the minutes
#   tag         added to the names of the runs' folders, exp/train_<model>_<tag>
#   set         changes of all configurations: "training.batch_size=4 data.samples_per_epoch=500"
#   seed        random seed (the configuration's)
#   precision   32, bf16-mixed or 16-mixed (the configuration's)
#   accelerator auto, cpu or gpu (auto), for the trainings
#   device      auto, cpu, cuda, ... (auto), for the evaluation and the measured costs
#   musdb18hq   true or false: whether the data are the complete MUSDB18-HQ (true)
#   museval     processes for museval's measures in stage 3, which take hours (0: off)
#   python      Python interpreter (the project's .venv, or python)

set -e
set -o pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=4
root=
models="simo_bsrnn xumx conv_tasnet open_unmix"
also=
layout=
max_minutes=
max_steps=
tag=
set=
seed=
precision=
accelerator=auto
device=auto
musdb18hq=true
museval=0
python=$(cd ../../.. && pwd)/.venv/bin/python
[[ -x $python ]] || python=python

. ../BSRNN/utils/parse_options.sh

if [[ -z $root ]]; then
    echo "$0: error: --root is missing: the data set's folder, with train/ and test/ in it" >&2
    exit 2
fi
# Relative paths are relative to the caller's folder.
[[ $root == /* ]] || root=$called_from/$root
[[ -z $layout || $layout == /* ]] || layout=$called_from/$layout
if [[ $musdb18hq != true && $musdb18hq != false ]]; then
    echo "$0: error: --musdb18hq must be true or false, got '$musdb18hq'" >&2
    exit 2
fi
if [[ -z $max_minutes && -z $max_steps ]]; then
    echo "$0: error: a comparison needs a budget: give --max_minutes or --max_steps" >&2
    exit 2
fi

read -r -a changes <<<"$set"
[[ $musdb18hq == true ]] || changes+=(data.musdb18hq=false)
common=(--root "$root")
[[ -z $seed ]] || common+=(--seed "$seed")
[[ -z $precision ]] || common+=(--precision "$precision")
described=()
[[ -z $layout ]] || described=(--layout "$layout")
setting=()
[[ ${#changes[@]} -eq 0 ]] || setting=(--set "${changes[@]}")
budget=()
[[ -z $max_minutes ]] || budget+=(--max_minutes "$max_minutes")
[[ -z $max_steps ]] || budget+=(--max_steps "$max_steps")
read -r -a chosen <<<"$models"
read -r -a others <<<"$also"
suffix=${tag:+_$tag}

runs() { [[ $stage -le $1 && $stop_stage -ge $1 ]]; }

if runs 0; then
    echo "Stage 0: checking the data"
    ../BSRNN/local/prepare_data.sh "$python" "$root" "$musdb18hq" --row "${layout:-simo_bsrnn}" \
        "${setting[@]}"
fi

if runs 1; then
    echo "Stage 1: finding active segments"
    "$python" ../BSRNN/local/find_activity.py "${common[@]}" --row "${layout:-simo_bsrnn}" \
        --exp_dir exp "${setting[@]}"
fi

trained=()
for model in "${chosen[@]}"; do
    name=$(basename "${model/:/_}" .yml)$suffix
    trained+=("$name=exp/train_$name/best_model.pth")
    if runs 2; then
        echo "Stage 2: training $model in exp/train_$name"
        source=()
        [[ $model != *:* ]] || source=(--source "${model#*:}")
        mkdir -p logs
        "$python" train.py "${common[@]}" --model "${model%%:*}" "${source[@]}" \
            --exp_dir "exp/train_$name" "${budget[@]}" --accelerator "$accelerator" \
            "${described[@]}" "${setting[@]}" 2>&1 | tee -a "logs/train_$name.log"
    fi
done

evaluation=(--root "$root" --output "exp/evaluation$suffix" --device "$device" --oracles)
evaluation+=("${described[@]}")
[[ $museval == 0 ]] || evaluation+=(--museval "$museval")

if runs 3; then
    echo "Stage 3: evaluating"
    "$python" -m asteroid_bsrnn evaluate "${trained[@]}" "${others[@]}" "${evaluation[@]}"
fi

if runs 4; then
    echo "Stage 4: comparing"
    tables=()
    for ending in md csv tex json; do
        tables+=(--table "exp/comparison$suffix.$ending")
    done
    "$python" -m asteroid_bsrnn compare "${trained[@]}" "${others[@]}" "${evaluation[@]}" \
        "${tables[@]}"
fi
