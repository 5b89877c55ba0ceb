#!/usr/bin/env bash
# The steps of action.yml: run.sh install, check, comment. What they need comes by environment variables and is never part of a command's
# text. `check` works in any git checkout where evalkit is installed: it scores the plans of base and head on head's gold with
# head's settings, gates, ends as the gate ended, and writes everything below .evalkit/out, which git does not see.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=.evalkit
out=$work/out
summary=${GITHUB_STEP_SUMMARY:-/dev/null}

install() {
  if [ -n "${EVALKIT_VERSION:-}" ]; then
    python -m pip install -q "ablation-evalkit[report]==$EVALKIT_VERSION"
  else # the commit of this action is the pin
    python -m pip install -q -c "$here/../constraints.txt" "$here/..[report]"
  fi
}

output() { # name value
  echo "$1=$2" >>"${GITHUB_OUTPUT:-/dev/null}"
}

# Print the commit whose plans are the base, fetched when a shallow checkout does not have it; nothing when there is none.
base_commit() {
  [ -n "${EVALKIT_BASE:-}" ] || return 0
  if ! git rev-parse -q --verify "$EVALKIT_BASE^{commit}" 2>/dev/null; then
    git fetch -q --depth=1 -- origin "$EVALKIT_BASE" >&2 && git rev-parse FETCH_HEAD
  fi
}

# Lay out the base's plans below $work/base; end in 1 where the base has none.
base_plans() { # commit
  rm -rf "$work/base" && mkdir -p "$work/base"
  git archive "$1" -- "$EVALKIT_PLANS" 2>/dev/null | tar -x -C "$work/base" 2>/dev/null && [ -d "$work/base/$EVALKIT_PLANS" ]
}

# Score, or leave a comment that says that it failed, and end as evalkit did.
score() { # plans run
  local choices=(--pred "$1" --gold "$EVALKIT_GOLD" --cache "$work/cache" --out "$2" --force)
  [ -z "${EVALKIT_SETTINGS:-}" ] || choices+=(--config "$EVALKIT_SETTINGS")
  evalkit score "${choices[@]}" || {
    status=$?
    echo "evalkit could not score the plans of $(basename "$2"); the job's log says why." | tee "$out/comment.md" >>"$summary"
    exit "$status"
  }
}

# Write the HTML report of one run or of two; without it there are all other files, and the gate's verdict stands.
report() { # run...
  if evalkit report "$@" --out "$out/report.html"; then
    output report "$out/report.html"
  else
    echo "no report.html: see the line above; the verdict does not depend on it" >&2
  fi
}

check() {
  : "${EVALKIT_PLANS:=plans}" "${EVALKIT_GOLD:=references}" "${EVALKIT_RULES:=gate.toml}"
  rm -rf "$out" && mkdir -p "$out"
  echo '*' >"$work/.gitignore" # of what is made here nothing belongs into a commit
  output verdict error
  local base="" commit="" status=0
  score "$EVALKIT_PLANS" "$out/head"
  if [ -n "${EVALKIT_BASELINE:-}" ]; then
    base=$EVALKIT_BASELINE
  else
    commit=$(base_commit)
    if [ -n "$commit" ] && base_plans "$commit"; then
      score "$work/base/$EVALKIT_PLANS" "$out/base"
      base=$out/base
    fi
  fi
  evalkit table "$out/head" >"$out/table.md"
  if [ -z "$base" ]; then
    { echo "Nothing to compare with: the base has no plans."; echo; cat "$out/table.md"; } >"$out/comment.md"
    cat "$out/comment.md" >>"$summary"
    output verdict no-base
    report "$out/head"
  else
    local rules=()
    [ ! -f "$EVALKIT_RULES" ] || rules=(--config "$EVALKIT_RULES")
    evalkit gate "$base" "$out/head" "${rules[@]}" --junit "$out/gate.xml" --markdown "$out/gate.md" || status=$?
    case $status in 0) output verdict pass ;; 3) output verdict regressed ;; esac
    { cat "$out/gate.md"; echo; cat "$out/table.md"; } >"$out/comment.md"
    cat "$out/table.md" >>"$summary"
    local sides=("$out/head")
    [ "$status" = 2 ] || [ ! -d "$base" ] || sides=("$base" "$out/head") # a baseline has no texts for a page
    report "${sides[@]}"
  fi
  exit "$status"
}

comment() {
  [ -f "$out/comment.md" ] || { echo "there is nothing to comment"; return 0; }
  python "$here/comment.py" "$out/comment.md" || echo "::warning::evalkit could not comment; see the job's summary"
}

case ${1:-} in
  install | check | comment) "$1" ;;
  *) echo "usage: run.sh install|check|comment" >&2 && exit 2 ;;
esac
