#!/usr/bin/env bash
# Check a data set in the layout of MUSDB18-HQ, and name everything that is missing or wrong.
#
#   local/prepare_data.sh PYTHON ROOT [true|false] [--row ROW] [--set CHANGES]
#
# MUSDB18-HQ cannot be downloaded automatically: request it at https://zenodo.org/records/3338373,
# unpack it, and give the folder that holds train/ and test/. With `true` the data are to be
# MUSDB18-HQ as published (86 + 14 training and validation tracks, 50 test tracks); `false` takes
# any data set of the same layout, or of the layout that the configuration describes.
set -e
cd "$(dirname "${BASH_SOURCE[0]}")"
"$1" check_data.py --root "$2" $([[ ${3:-true} == false ]] || echo --musdb18hq) "${@:4}"
