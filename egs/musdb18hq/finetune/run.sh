#!/usr/bin/env bash
# Fine-tune a network on labelled tracks and on songs without stems, which a teacher separates.
#
#   ./run.sh --songs songs.yml --teacher obsrnn_simo --start_from obsrnn_simo --root /data/musdb18hq
#
# Stages, from --stage (0) to --stop_stage (5):
#   0  separate the songs with each teacher (resumes song by song)
#   1  select what is used, and print the figures of the filter
#   2 to 5  stages 1 to 4 of ../BSRNN: find active segments, train (resumes where it was
#           interrupted), evaluate on the test tracks, prepare the model for publication
#
# Options of stages 0 and 1, all as --name value:
#   songs       a list of songs in YAML or JSON, or a folder of songs
#   teacher     names, files or URLs of models, or folders of runs. The estimates of the first are
#               used; those of the others are compared with them
#   two_stems   a source: the teachers estimate it and everything else
#   shard       K/N: stage 0 takes the K-th of every N songs, for one of N machines, and is the last
#   estimates   folder of the estimates (exp/estimates)
#   selection   file (selection.json in the folder of the estimates)
#   window      seconds on which the filter makes one decision (6)
#   level       least level of a part in dB of full scale (-60)
#   share       least energy of a part, and of everything else, in dB of the mixture's (-20)
#   agreement   least SDR in dB between two teachers (5)
#   device      auto, cpu, cuda, ... (auto), for the teachers
#   teacher_precision  32, bf16 or 16 (32), for the teachers
#   shifts      passes of the teachers with shifted frames that are averaged (1)
#
# Options of stages 2 to 5:
#   root        folder of the labelled data, with train/ and test/ in it
#   row         a row of ../BSRNN, or a file in .yml (conf/obsrnn_simo.yml)
#   start_from  name, file or URL of the weights that the training starts from (random weights)
#   set         changes of the configuration: "unlabelled.ratio=0.3 optim.lr=0.0002"
#   exp         folder that holds the runs' folders (exp)
#   source, tag, seed, precision, accelerator, devices, num_nodes, overfit, track_epochs, musdb18hq,
#   museval, hub, hub_private, licence  as in ../BSRNN/run.sh
#   python      interpreter (the project's .venv, or python)

set -e
set -o pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"
here=$PWD

stage=0
stop_stage=5
songs=
teacher=
two_stems=
shard=
estimates=exp/estimates
selection=
window=
level=
share=
agreement=
device=auto
teacher_precision=32
shifts=1
root=
row=conf/obsrnn_simo.yml
start_from=
set=
exp=exp
source=
tag=
seed=
precision=
accelerator=
devices=
num_nodes=
overfit=
track_epochs=
musdb18hq=
museval=
hub=
hub_private=
licence=
python=$(cd ../../.. && pwd)/.venv/bin/python
[[ -x $python ]] || python=python

. ../BSRNN/utils/parse_options.sh

# Relative paths are meant from where this script was called; what it brings along, from here.
from_caller() {
    local value=${!1}
    [[ -z $value || $value == /* ]] || printf -v "$1" '%s' "$called_from/$value"
}
[[ $estimates == exp/estimates ]] && estimates=$here/exp/estimates
[[ $exp == exp ]] && exp=$here/exp
[[ $row == conf/obsrnn_simo.yml ]] && row=$here/$row
for name in songs estimates selection root exp; do from_caller "$name"; done
[[ ! -e $called_from/$start_from ]] || from_caller start_from
[[ $row != *.yml ]] || from_caller row
read -r -a names <<<"$teacher"
for i in "${!names[@]}"; do
    [[ ! -e $called_from/${names[i]} ]] || names[i]=$called_from/${names[i]}
done
[[ -n $selection ]] || selection=$estimates/selection.json

if [[ -n $shard && $stage -le 0 ]]; then
    stop_stage=0 # the other stages need the songs of all shards
elif [[ -n $shard ]]; then
    echo "$0: error: --shard is for stage 0 only" >&2
    exit 2
fi
if [[ $stage -le 1 && -z $songs ]]; then
    echo "$0: error: --songs is missing: a list of songs, or a folder" >&2
    exit 2
fi
if [[ $stop_stage -ge 2 && -z $root ]]; then
    echo "$0: error: --root is missing: the labelled data, with train/ and test/ in it" >&2
    exit 2
fi

common=(--songs "$songs" --estimates "$estimates" --device "$device"
    --precision "$teacher_precision" --shifts "$shifts")
[[ ${#names[@]} -eq 0 ]] || common+=(--teacher "${names[@]}")
[[ -z $two_stems ]] || common+=(--two_stems "$two_stems")

if [[ $stage -le 0 && $stop_stage -ge 0 ]]; then
    echo "Stage 0: separating the songs into $estimates"
    "$python" separate_songs.py "${common[@]}" ${shard:+--shard "$shard"}
fi

if [[ $stage -le 1 && $stop_stage -ge 1 ]]; then
    echo "Stage 1: selecting what is used"
    filter=(--selection "$selection")
    for name in window level share agreement; do
        [[ -z ${!name} ]] || filter+=("--$name" "${!name}")
    done
    "$python" select_estimates.py "${common[@]}" "${filter[@]}"
fi
[[ $stop_stage -ge 2 ]] || exit 0

changes="unlabelled.selection=$selection"
[[ -z $start_from ]] || changes+=" training.start_from=$start_from"
options=()
for name in source tag seed precision accelerator devices num_nodes overfit track_epochs musdb18hq \
    museval hub hub_private licence; do
    [[ -z ${!name} ]] || options+=("--$name" "${!name}")
done
exec ../BSRNN/run.sh --stage "$((stage > 2 ? stage - 1 : 1))" --stop_stage "$((stop_stage - 1))" \
    --root "$root" --row "$row" --exp "$exp" --set "$changes${set:+ $set}" --python "$python" \
    "${options[@]}"
