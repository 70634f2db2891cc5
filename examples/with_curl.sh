#!/usr/bin/env bash
# With curl alone: judge a JSON file of editors (an array), print the ids that are certain spam, one a line.
#
#   SB_API_URL=http://127.0.0.1:4321 SB_API_TOKEN_FILE=/etc/spamninja/token with_curl.sh editors.json
#
# curl repeats the request while the service has no room (503), no sooner than Retry-After says. The token goes in by a
# configuration on standard input, so that it is not seen in the list of processes. Ids are numbers, as MusicBrainz's are:
# then grep is enough to read the answer, which has {"bands": {"7": "certain spam", ...}} in it. What is wrong with a
# record, or with the request, is told on standard error as the service tells it.
set -euo pipefail
url=${SB_API_URL:-http://127.0.0.1:4321}
file=${1:?name a JSON file of editors}
token=${SB_API_TOKEN:-}
if [ -z "$token" ] && [ -n "${SB_API_TOKEN_FILE:-}" ]; then
    token=$(<"$SB_API_TOKEN_FILE")
fi

configuration() {
    printf 'header = "Content-Type: application/json"\n'
    if [ -n "$token" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$token"
    fi
}

answer=$(configuration | curl --config - --silent --show-error --fail-with-body --retry 5 --max-time 60 \
    --data-binary "@$file" "$url/predict?partial=true") || {
    code=$?
    printf '%s\n' "$answer" >&2
    exit "$code"
}
grep -oE '"errors":\{"[0-9]+":\{.*\}\}' <<<"$answer" >&2 || true  # none, mostly
grep -oE '"[0-9]+":"certain spam"' <<<"$answer" | cut -d '"' -f 2 || true  # none is no failure
