# Source this file after the options have been set to their defaults: it turns `--name value` on the
# command line into `name=value`, for names that the script has set. Names may have dashes instead
# of underscores. `--help` prints the comment at the top of the script; a relative path of the
# script is relative to `called_from`.

while [[ $# -gt 0 ]]; do
    case $1 in
        --help | -h)
            (cd "${called_from:-.}" && sed -n '2,/^[^#]/ s/^# \{0,1\}//p' "$0")
            exit 0
            ;;
        --*=*)
            echo "$0: error: write ${1%%=*} ${1#*=}, with a space, instead of $1" >&2
            exit 2
            ;;
        --*)
            option=${1#--}
            option=${option//-/_}
            if [[ -z ${!option+set} ]]; then
                echo "$0: error: unknown option $1 (try $0 --help)" >&2
                exit 2
            fi
            if [[ $# -lt 2 ]]; then
                echo "$0: error: $1 needs a value" >&2
                exit 2
            fi
            printf -v "$option" '%s' "$2"
            shift 2
            ;;
        *)
            echo "$0: error: unexpected argument '$1' (try $0 --help)" >&2
            exit 2
            ;;
    esac
done
