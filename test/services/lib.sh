# shellcheck shell=bash
# What the scripts rabbitmq, redis, nats, ministack and postgres share. Such a script sets `name` and its default `port`, sources
# this file, defines
#
#   install   put the server in place; does nothing where it is
#   address   print the value of its variable
#   launch    spawn its processes (see spawn) on what is in $state/data; the one that serves has the server's name
#   ready     succeed once it serves
#
# and ends with `main "$@"`. For Linux: it reads /proc, and uses flock and setsid.
set -euo pipefail

: "${name:?}" "${port:?}"
upper=${name^^}
services=${LEAT_SERVICES:-${XDG_CACHE_HOME:-$HOME/.cache}/leat-services}
setting=LEAT_${upper}_STATE state=${!setting:-${TMPDIR:-/tmp}/leat-$name}
setting=LEAT_${upper}_PORT port=${!setting:-$port}
patience=90 # seconds until "not ready"

say() { printf '%s: %s\n' "$name" "$*" >&2; }
die() { say "$@"; exit 1; }

usage() {
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0" >&2 # the script's own header
  cat >&2 <<USAGE

  $name install  put it in place (idempotent; once it is there, no network is needed)
  $name start    start it, wait until it serves, print \`export LEAT_$upper=...\`
  $name status   one line; exit 0: it is up, 1: it is down or paused, 3: there is none
  $name stop     kill it and delete its data
  $name kill     SIGKILL (crash), the data stay
  $name pause    SIGSTOP (hung: connections stay open, nothing answers)
  $name resume   SIGCONT
  $name guard    wait until stdin ends, then stop: for a server that must not outlive its owner
  $name state    print the directory of its state

start leaves what runs as it is; what is dead restarts on its data, what is paused goes on.
Settings: LEAT_SERVICES (cache), LEAT_${upper}_STATE (data; one directory is one server), LEAT_${upper}_PORT (stay below
32768), LEAT_REQUIRE_SERVICES=1 (install missing packages by apt-get).
USAGE
  exit 2
}

locked() { # one run at a time; the kernel frees the lock when this process ends, so it is never stale
  exec 9>>"$1"
  flock -w 600 9 || die "another run holds $1"
}

# ── putting in place ──────────────────────────────────────────────────────────────────────────────────────────────────

need() { # need COMMAND PACKAGE...: where servers are required, install these Debian packages unless COMMAND is there
  local command=$1 sudo=(env)
  shift
  ! command -v "$command" >/dev/null || return 0
  if [ "${LEAT_REQUIRE_SERVICES:-}" != 1 ] || ! command -v apt-get >/dev/null; then
    die "$command is missing (Debian: apt-get install $*)"
  fi
  [ "$(id -u)" = 0 ] || sudo=(sudo -n)
  mkdir -p "$services"
  (
    locked "$services/debian.lock"
    ! command -v "$command" >/dev/null || exit 0
    say "$command is missing: installing $*"
    "${sudo[@]}" bash -euo pipefail -c "$(declare -f as_root enabled); as_root \"\$@\"" as_root "$@" >&2 </dev/null 9>&-
  ) || die "cannot install $*"
  command -v "$command" >/dev/null || die "$command is still missing with $* installed"
}

as_root() { # as_root PACKAGE...: install them; the services that they bring neither run nor start with the machine
  local before unit
  policy=/usr/sbin/policy-rc.d # Debian asks it whether a package may start its service
  if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  before=$(enabled)
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq || echo "apt-get update failed"
  apt-get install -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"
  for unit in $(comm -13 <(echo "$before") <(enabled)); do systemctl --quiet disable "$unit"; done
}

enabled() { # what starts with the machine; nothing where there is no systemd. --root: also where it doesn't run
  systemctl --root=/ --no-legend --state=enabled list-unit-files '*.service' '*.socket' 2>/dev/null | cut -d' ' -f1 | sort || true
}

cached() { # cached FOLDER COMMAND: unless FOLDER is there, COMMAND fills a folder that then becomes it
  local folder=$1 work
  [ ! -d "$folder" ] || return 0
  mkdir -p "$services"
  (
    locked "$folder.lock"
    [ ! -d "$folder" ] || exit 0
    work=$(mktemp -d "$folder.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    "$2" "$work" >&2 </dev/null 9>&- || die "cannot put $folder in place"
    chmod 755 "$work"
    mv "$work" "$folder"
  )
}

# ── processes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

stat_of() { # state and start of process $1, or failure if there is none. A zombie is none, unless some of its threads
  local line f # are left: with them it has its sockets and locks
  { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
  read -ra f <<<"${line##*) }"
  [[ ${f[0]} != [ZX] || ${f[17]} -gt 1 ]] && echo "${f[0]} ${f[19]}"
}

pid_of() { # pid of what was spawned as $1, or failure if it does not run; a recycled pid is not taken for it
  local pid start now
  { read -r pid start <"$state/$1.pid"; } 2>/dev/null && now=$(stat_of "$pid") && [ "${now#* }" = "$start" ] && echo "$pid"
}

running() { # pids of all that were spawned and run
  local file
  for file in "$state"/*.pid; do
    file=${file##*/}
    pid_of "${file%.pid}" || true
  done
}

spawn() { # spawn PROCESS PORTS COMMAND...: start it, or resume it if it runs; it leads a process group of its own
  local process=$1 ports=$2 pid p
  shift 2
  if pid=$(pid_of "$process"); then
    resume_all "$pid"
    return
  fi
  for p in $ports; do
    ! listens "$p" || die "port $p is taken by another process, see LEAT_${upper}_PORT"
  done
  [ ! -f "$state/$process.log" ] || mv "$state/$process.log" "$state/$process.log.prev"
  # 9>&-: it must not inherit the lock
  (cd "$state/data" && exec setsid "$@") </dev/null >"$state/$process.log" 2>&1 9>&- &
  pid=$!
  p=$(stat_of "$pid") || true
  echo "$pid ${p#* }" >"$state/$process.pid"
}

family() { # pids of the processes $* and of all below them: some, as those of PostgreSQL, lead groups of their own
  local file line f more=true
  local -A parent in
  for file in /proc/[0-9]*/stat; do
    { read -r line <"$file"; } 2>/dev/null || continue
    read -ra f <<<"${line##*) }"
    parent[${line%% *}]=${f[1]}
  done
  for f; do in[$f]=1; done
  while $more; do
    more=false
    for f in "${!parent[@]}"; do
      [ -z "${in[$f]:-}" ] && [ -n "${in[${parent[$f]}]:-}" ] || continue
      in[$f]=1 more=true
    done
  done
  echo "${!in[@]}"
}

to_all() { # to_all SIGNAL PID...: a negative one is a process group
  local what=$1 pid
  shift
  for pid; do kill -s "$what" -- "$pid" 2>/dev/null || true; done
}

resume_all() { # resume_all PID...: what was spawned, and its family
  local all
  all=$(family "$@")
  # shellcheck disable=SC2086  # several
  to_all CONT "${@/#/-}" $all
}

signal() { # signal NAME [gone]: to all processes and their children; with "gone" wait until they have ended
  local pid pids all end=$((SECONDS + patience))
  read -r -d '' -a pids < <(running) || true
  [ ${#pids[@]} != 0 ] || die "it is not running"
  if [ "$1" = CONT ]; then
    resume_all "${pids[@]}"
    return
  fi
  to_all STOP "${pids[@]/#/-}" # who stands still has no more children
  all=$(family "${pids[@]}")
  # shellcheck disable=SC2086  # several
  to_all "$1" "${pids[@]/#/-}" $all
  [ "${2:-}" = gone ] || return 0
  for pid in $all; do
    while stat_of "$pid" >/dev/null; do
      ((SECONDS < end)) || die "it does not end"
      sleep 0.02
    done
  done
}

stopped() { # wait until all that run have stopped: on a busy machine that takes a moment
  local pid
  for pid in $(running); do
    until [[ $(stat_of "$pid") == [Tt]* ]]; do sleep 0.01; done
  done
}

# ── readiness ─────────────────────────────────────────────────────────────────────────────────────────────────────────

await() { # await PROCESS COMMAND...: wait until COMMAND succeeds
  local process=$1 end=$((SECONDS + patience))
  shift
  until "$@"; do
    if ! pid_of "$process" >/dev/null; then
      tail -n 20 "$state/$process.log" >&2
      die "$process ended while starting, see $state/$process.log"
    fi
    ((SECONDS < end)) || die "$process is not ready after $patience s, see $state/$process.log"
    sleep 0.05
  done
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

answers() { # answers SENT EXPECTED: whether the first answer to SENT, if it comes within a second, matches EXPECTED
  local got
  got=$(
    { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || exit 0
    printf '%b' "$1" >&3
    timeout 1 dd bs=4096 count=1 status=none <&3 | tr -d '\0'
  ) || true
  [[ $got =~ $2 ]]
}

# ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────

load() { # the port of the server that exists, or failure
  [ -f "$state/port" ] && read -r port <"$state/port"
}

start() {
  load || true
  install
  mkdir -p "$state/data"
  echo "$port" >"$state/port"
  launch
  await "$name" ready
  echo "export LEAT_$upper=$(address)"
}

status() {
  local pid is rc=0
  load || { say "none in $state"; exit 3; }
  if ! pid=$(pid_of "$name"); then
    echo "$name 127.0.0.1:$port down"
    return 1
  fi
  is=up
  [[ $(stat_of "$pid") != [Tt]* ]] || is=paused rc=1
  echo "$name 127.0.0.1:$port $is $(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status") MiB pid $pid"
  return $rc
}

stop() {
  [ -z "$(running)" ] || signal KILL gone
  rm -rf "$state/data"
  rm -f "$state"/*.pid "$state"/*.log "$state"/*.prev "$state/port"
  rmdir "$state"
}

guard() {
  trap '' HUP INT TERM # it goes when its owner has gone
  cat >/dev/null
  [ ! -d "$state" ] || "$0" stop
}

main() {
  local setting
  for setting in services state; do
    case ${!setting} in /*) ;; *) printf -v "$setting" %s "$PWD/${!setting}" ;; esac
  done
  [ -e /proc/self/stat ] || die "this is not Linux"
  case ${1:-} in
    start | stop | kill | pause | resume)
      (umask 077; mkdir -p "$state")
      [ -O "$state" ] || die "$state belongs to another user, see LEAT_${upper}_STATE"
      locked "$state.lock" ;;
  esac
  case ${1:-} in
    install | start | stop | status | guard) "$1" ;;
    state) echo "$state" ;;
    kill) signal KILL gone ;;
    pause) signal STOP && stopped ;;
    resume) signal CONT ;;
    *) usage ;;
  esac
}
