#!/usr/bin/env bash
# Train, evaluate and publish a network of arXiv 2603.09187 on MUSDB18-HQ.
#
#   ./run.sh --root /data/musdb18hq --row obsrnn --source vocals
#
# Stages, from --stage (0) to --stop_stage (4):
#   0  check the data set                       2  train, or resume the training
#   1  find the active segments of every stem   3  evaluate on the test tracks
#                                               4  prepare the model for publication, publish it
#
# Options, all as --name value:
#   root        folder of MUSDB18-HQ or MUSDB18, with train/ and test/ in it
#   decoded     folder for the .stem.mp4 files of MUSDB18, decoded by stage 0, 23 GB (ROOT/decoded)
#   row         row of the paper's table, a file of conf/rows (bsrnn), or the path of another such
#               file, ending in .yml
#   source      vocals, bass, drums or other, or a stem or sum of the configuration's layout; none
#               for rows of several sources (simo_*, *_simo)
#   tag         added to the name of the run's folder, exp/train_<row>_<source>_<tag>
#   exp         folder that holds the runs' folders (exp)
#   set         changes of the configuration: "training.batch_size=4 optim.lr=0.002"
#   seed        random seed (the configuration's)
#   precision   32, bf16-mixed or 16-mixed (the configuration's)
#   accelerator auto, cpu or gpu (auto)
#   devices     number of devices on each machine (1)
#   num_nodes   number of machines (1)
#   overfit     number of batches to train on, as a trial (0: off)
#   track_epochs  number of epochs to train before time and energy are extrapolated (0: off)
#   musdb18hq   true or false: whether the data are the complete MUSDB18-HQ (true)
#   museval     processes for museval's SDR, ISR, SIR and SAR in stage 3, which take hours (0: off)
#   hub         repository of the Hugging Face Hub, as user/name, that stage 4 uploads to (none);
#               log in first: hf auth login, or HF_TOKEN
#   hub_private true or false: whether that repository is private (unchanged)
#   licence     licence of the weights, for the model card: an identifier of the Hub, such as
#               cc-by-nc-4.0, or NAME=URL (unknown)
#   python      Python interpreter (the project's .venv, or python)

set -e
set -o pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")"

stage=0
stop_stage=4
root=
decoded=
row=bsrnn
source=
tag=
exp=exp
set=
seed=
precision=
accelerator=auto
devices=1
num_nodes=1
overfit=0
track_epochs=0
musdb18hq=true
museval=0
hub=
hub_private=
licence=
python=$(cd ../../.. && pwd)/.venv/bin/python
[[ -x $python ]] || python=python

. utils/parse_options.sh

if [[ -z $root ]]; then
    echo "$0: error: --root is missing: the folder of MUSDB18-HQ, with train/ and test/ in it" >&2
    exit 2
fi
# Relative paths are relative to the caller's folder.
[[ $root == /* ]] || root=$called_from/$root
[[ -z $decoded || $decoded == /* ]] || decoded=$called_from/$decoded
[[ $row != *.yml || $row == /* ]] || row=$called_from/$row
[[ $exp == exp || $exp == /* ]] || exp=$called_from/$exp
if [[ $musdb18hq != true && $musdb18hq != false ]]; then
    echo "$0: error: --musdb18hq must be true or false, got '$musdb18hq'" >&2
    exit 2
fi
if [[ -n $hub && ! $hub =~ ^[^/]+/[^/]+$ ]]; then
    echo "$0: error: --hub must be user/name, got '$hub'" >&2
    exit 2
fi
if [[ -n $hub_private && $hub_private != true && $hub_private != false ]]; then
    echo "$0: error: --hub_private must be true or false, got '$hub_private'" >&2
    exit 2
fi

name=train_$(basename "$row" .yml)${source:+_$source}${tag:+_$tag}
expdir=$exp/$name
logs=$(dirname "$exp")/logs
read -r -a changes <<<"$set"
stems=
if compgen -G "$root/train/*.stem.mp4" >/dev/null; then
    stems=$root
    root=${decoded:-$root/decoded}
    changes+=("data.infos=$root/infos.json")
fi
[[ $musdb18hq == true ]] || changes+=(data.musdb18hq=false)
common=(--root "$root" --row "$row" --exp_dir "$expdir")
[[ -z $source ]] || common+=(--source "$source")
[[ -z $seed ]] || common+=(--seed "$seed")
[[ -z $precision ]] || common+=(--precision "$precision")
[[ ${#changes[@]} -eq 0 ]] || common+=(--set "${changes[@]}")

runs() { [[ $stage -le $1 && $stop_stage -ge $1 ]]; }

if runs 0; then
    echo "Stage 0: checking the data"
    [[ -z $stems ]] || "$python" local/decode_musdb18.py --root "$stems" --output "$root"
    local/prepare_data.sh "$python" "$root" "$musdb18hq" "${common[@]}"
fi

if runs 1; then
    echo "Stage 1: finding active segments"
    "$python" local/find_activity.py "${common[@]}"
fi

if runs 2; then
    echo "Stage 2: training in $expdir"
    mkdir -p "$logs"
    "$python" train.py "${common[@]}" --accelerator "$accelerator" --devices "$devices" \
        --num_nodes "$num_nodes" --overfit "$overfit" --track_epochs "$track_epochs" \
        2>&1 | tee -a "$logs/$name.log"
fi

if runs 3; then
    echo "Stage 3: evaluating"
    "$python" eval.py "${common[@]}" --museval "$museval"
fi

if runs 4; then
    echo "Stage 4: preparing for publication"
    publication=()
    for option in hub hub_private licence; do
        [[ -z ${!option} ]] || publication+=("--$option" "${!option}")
    done
    "$python" publish.py "${common[@]}" "${publication[@]}"
fi
