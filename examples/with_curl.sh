#!/usr/bin/env bash
# With curl alone: judge a JSON file of editors (an array), print the ids that are certain spam, one a line.
#
#   SB_API_URL=http://127.0.0.1:4321 SB_API_TOKEN=... with_curl.sh editors.json
#
# curl repeats the request while the service has no room (503), no sooner than Retry-After says. The token goes in by a
# configuration on standard input, so that it is not seen in the list of processes. Needs python3 to read the answer.
set -euo pipefail
url=${SB_API_URL:-http://127.0.0.1:4321}
file=${1:?name a JSON file of editors}

configuration() {
    printf 'header = "Content-Type: application/json"\n'
    if [ -n "${SB_API_TOKEN:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$SB_API_TOKEN"
    fi
}

configuration | curl --config - --silent --show-error --fail-with-body --retry 5 --max-time 60 \
    --data-binary "@$file" "$url/predict?partial=true" |
    python3 -c '
import json, sys
answer = json.load(sys.stdin)
for key, fault in answer["errors"].items():
    print("record", key, fault["field"], fault["detail"], file=sys.stderr)
for editor, band in answer["bands"].items():
    if band == "certain spam":
        print(editor)
'
