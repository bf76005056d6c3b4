#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# demo_usage_test.sh DEMO: a line that is wrong ends with 2, as --help says, whatever the machine has.
set -euo pipefail

failed=0

# refused ARGUMENT...: 2, and a message that names the tool
refused() {
    local code=0 said
    said=$("$demo" "$@" 2>&1) || code=$?
    [[ $code == 2 && $said == pcienic-demo:* ]] || { echo "FAILED: '$*' ends with $code and says '$said'"; failed=1; }
}

demo=$1
refused x
refused ''
refused --fast
refused 00:04.0 00:05.0
PCIENIC_BDF=nonsense refused
exit "$failed"
