#!/bin/sh
# iapeer @VERSION@ (bundle, @TARGET@, deno @DENO@)
#
# After this head come the program and, as npm has it, the package of Deno for
# that target. The head unpacks both once and puts Deno in its own place, with
# the permissions that the root needs. Signals, stdin and the exit code are the
# program's own.
#
# The unpacked runtime lies in IAPEER_CACHE, else XDG_CACHE_HOME/iapeer, else
# ~/@CACHE@/iapeer, and without a HOME in ROOT.cache.
#
# Names begin with _iap_ because assigning to a variable that the caller exports
# would change the environment of the program.
set -eu

_iap_id=@ID@
# The system's own tools first: macOS may have GNU's `stat` on PATH.
_iap_path=/usr/bin:/bin${PATH:+:$PATH}

fail() {
  printf 'iapeer: %s\n' "$2" >&2
  exit "$1"
}

# In _iap_spelled the path $1 as the program spells it: absolute, without `.`,
# `..` and doubled slashes. In _iap_plain whether that is its real path, too: this
# starts no process, and resolve does.
spell() {
  case $1 in
  /*) _iap_rest=$1 ;;
  *) _iap_rest=${PWD-}/$1 ;;
  esac
  _iap_spelled=
  _iap_plain=yes
  while [ -n "$_iap_rest" ]; do
    _iap_part=${_iap_rest%%/*}
    case $_iap_rest in
    */*) _iap_rest=${_iap_rest#*/} ;;
    *) _iap_rest= ;;
    esac
    case $_iap_part in
    '' | .) ;;
    ..)
      _iap_spelled=${_iap_spelled%/*}
      _iap_plain=no
      ;;
    *)
      _iap_spelled=$_iap_spelled/$_iap_part
      [ ! -L "$_iap_spelled" ] || _iap_plain=no
      ;;
    esac
  done
  _iap_spelled=${_iap_spelled:-/}
}

# In _iap_real the real path of $1, as far as it exists. The dot keeps a newline
# at the end of a name from the command substitution.
resolve() {
  _iap_part=$1
  _iap_rest=
  until _iap_real=$(CDPATH='' cd -P -- "$_iap_part" 2>/dev/null && pwd -P && echo .); do
    _iap_rest=/${_iap_part##*/}$_iap_rest
    _iap_part=${_iap_part%/*}
    _iap_part=${_iap_part:-/}
  done
  _iap_real=${_iap_real%??}
  _iap_real=${_iap_real%/}$_iap_rest
  _iap_real=${_iap_real:-/}
}

# Deno separates paths by commas and has no way to quote one.
no_comma() {
  case $1 in
  *,*) fail 2 "Cannot use the path \"$1\": it holds a comma, which Deno's permission flags cannot express; choose a path without one" ;;
  esac
}

# In _iap_seen what the unpacked files are, in one line: a changed byte changes a
# time that no user can set.
look() {
  _iap_seen=$(
    export PATH="$_iap_path" LC_ALL=C TZ=UTC0
    exec @STAT@ "$_iap_dir" "$_iap_dir/iapeer" "$_iap_dir/iapeer.mjs" 2>/dev/null
  )
}

stamp() {
  look && printf '%s\n' "$_iap_seen" >"$_iap_dir/stamp"
}

# Whether the folder is ours and holds what was verified when it was stamped.
# shellcheck disable=SC3067 # -O: dash, bash, ksh, zsh and busybox have it
intact() {
  [ ! -L "$_iap_dir" ] && [ -O "$_iap_dir" ] && [ ! -L "$_iap_dir.v8" ] && [ -O "$_iap_dir.v8" ] &&
    { IFS= read -r _iap_stamp <"$_iap_dir/stamp"; } 2>/dev/null &&
    look && [ "$_iap_seen" = "$_iap_stamp" ]
}

sha256() {
  if command -v sha256sum >/dev/null; then
    sha256sum
  else
    shasum -a 256
  fi <"$1"
}

# Whether the files $1 and $2 are the runtime and the program.
genuine() {
  _iap_sum=$(sha256 "$1") && [ "${_iap_sum%% *}" = @RUNTIME_SHA256@ ] &&
    _iap_sum=$(sha256 "$2") && [ "${_iap_sum%% *}" = @PROGRAM_SHA256@ ]
}

cannot_use() {
  fail 1 "Cannot keep the runtime in \"$_iap_cache\": $1; set IAPEER_CACHE to a folder of your own with 150 MB to spare, from which programs may be run"
}

# Waits while another start unpacks; whether this one is to do it. No more than a
# saving: what is put in place is genuine, whoever puts it there.
take_turn() {
  _iap_tries=0
  until mkdir "$_iap_dir.lock" 2>/dev/null; do
    if intact; then return 1; fi
    _iap_holder=
    { IFS= read -r _iap_holder <"$_iap_dir.lock/pid"; } 2>/dev/null || :
    if [ -n "$_iap_holder" ] && ! kill -0 "$_iap_holder" 2>/dev/null; then break; fi
    _iap_tries=$((_iap_tries + 1))
    [ "$_iap_tries" -lt 600 ] || break
    sleep 0.1
  done
  echo $$ >"$_iap_dir.lock/pid" 2>/dev/null || :
  if intact; then
    rm -rf "$_iap_dir.lock"
    return 1
  fi
}

# Unpacks, beside the folder, and puts one file after the other in place.
# shellcheck disable=SC3067 # as above
unpack() (
  umask 077
  PATH=$_iap_path
  mkdir -p -- "$_iap_cache" 2>/dev/null || cannot_use 'it cannot be made'
  [ -O "$_iap_cache/." ] || cannot_use 'it belongs to somebody else'
  case $(LC_ALL=C ls -ld -- "$_iap_cache/.") in
  d????-??-*) ;;
  *) cannot_use 'others may write there' ;;
  esac
  [ -w "$_iap_cache/." ] || cannot_use 'it cannot be written to'
  take_turn || exit 0
  trap 'rm -rf "$_iap_dir.lock" ${_iap_new:+"$_iap_new"}' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM

  # What is not ours, or not closed to others, may not stay, whatever it holds.
  _iap_kept=no
  if [ -L "$_iap_dir" ] || [ -e "$_iap_dir" ]; then
    case $(LC_ALL=C ls -ld -- "$_iap_dir") in
    drwx------*) [ ! -O "$_iap_dir" ] || _iap_kept=yes ;;
    esac
    if [ "$_iap_kept" = no ]; then
      mv -- "$_iap_dir" "$_iap_cache/refused.$$" || cannot_use "\"$_iap_dir\" is not ours and cannot be moved away"
      rm -rf -- "$_iap_cache/refused.$$" 2>/dev/null || :
    fi
  fi
  if [ -L "$_iap_dir.v8" ] || [ ! -O "$_iap_dir.v8" ]; then
    { rm -rf -- "$_iap_dir.v8" && mkdir -- "$_iap_dir.v8"; } || cannot_use 'see above'
  fi
  if [ "$_iap_kept" = yes ] && [ ! -L "$_iap_dir/iapeer" ] && [ ! -L "$_iap_dir/iapeer.mjs" ] &&
    genuine "$_iap_dir/iapeer" "$_iap_dir/iapeer.mjs" 2>/dev/null; then
    stamp
    exit 0
  fi

  _iap_new=$(mktemp -d "$_iap_cache/new.XXXXXX") || cannot_use 'see above'
  {
    tail -c +@PROGRAM_AT@ -- "$_iap_self" | head -c @PROGRAM_SIZE@ >"$_iap_new/iapeer.mjs" &&
      tail -c +@RUNTIME_AT@ -- "$_iap_self" | tar -xzo -f - -C "$_iap_new" package/deno &&
      chmod 700 "$_iap_new/package/deno"
  } || cannot_use 'unpacking it failed, see above'
  genuine "$_iap_new/package/deno" "$_iap_new/iapeer.mjs" ||
    fail 1 "Cannot unpack \"$_iap_self\": it is damaged; get it again"
  _iap_said=$("$_iap_new/package/deno" --version 2>&1) ||
    fail 1 "Cannot run the build for @TARGET@ on $(uname -sm): ${_iap_said:-it ended without a word}; get the one for this system, or, if no program may be run from \"$_iap_cache\", set IAPEER_CACHE to a folder from which they may"

  rm -rf -- "$_iap_dir/iapeer" "$_iap_dir/iapeer.mjs" "$_iap_dir/stamp"
  {
    mkdir -p -- "$_iap_dir" && : >"$_iap_dir/stamp" &&
      mv -f -- "$_iap_new/package/deno" "$_iap_dir/iapeer" &&
      mv -f -- "$_iap_new/iapeer.mjs" "$_iap_dir/iapeer.mjs" && stamp
  } || cannot_use 'see above'

  # Other versions: whoever still runs one has it in memory, and a start unpacks
  # it again.
  find "$_iap_cache/." ! -name . -prune ! -name "$_iap_id*" -mtime +30 -exec rm -rf {} + 2>/dev/null || :
) </dev/null

_iap_self=$0
case $_iap_self in
*/*) ;;
# `sh iapeer` looks here first, then on PATH.
*) [ -f "$_iap_self" ] || _iap_self=$(command -v -- "$_iap_self") ;;
esac
case $_iap_self in
/*) ;;
*) _iap_self=./$_iap_self ;;
esac
while [ -L "$_iap_self" ]; do
  _iap_link=$(PATH=$_iap_path readlink "$_iap_self" && echo .)
  _iap_link=${_iap_link%??}
  case $_iap_link in
  /*) _iap_self=$_iap_link ;;
  *) _iap_self=${_iap_self%/*}/$_iap_link ;;
  esac
done
spell "$_iap_self"
[ "$_iap_plain" = yes ] || {
  resolve "${_iap_self%/*}/"
  _iap_spelled=${_iap_real%/}/${_iap_self##*/}
}
_iap_self=$_iap_spelled

_iap_command=
_iap_root=
_iap_prefix=
_iap_takes=
for _iap_word in "$@"; do
  [ "$_iap_word" != -- ] || break
  case $_iap_takes$_iap_word in
  root:*) _iap_root=$_iap_word ;;
  prefix:*) _iap_prefix=$_iap_word ;;
  --root=*) _iap_root=${_iap_word#--root=} ;;
  --prefix=*) _iap_prefix=${_iap_word#--prefix=} ;;
  --root) _iap_takes=root: && continue ;;
  --prefix) _iap_takes=prefix: && continue ;;
  *) _iap_command=${_iap_command:-$_iap_word} ;;
  esac
  _iap_takes=
done
if [ -z "$_iap_root" ]; then
  _iap_root=${IAPEER_ROOT:-${HOME:+$HOME/.iapeer}}
  [ -n "$_iap_root" ] ||
    fail 2 'Cannot tell where the root is: neither IAPEER_ROOT nor HOME is set; use --root DIR'
fi
spell "$_iap_root"
_iap_root=$_iap_spelled
_iap_real=$_iap_spelled
[ "$_iap_plain" = yes ] || resolve "$_iap_root"
no_comma "$_iap_root"
no_comma "$_iap_real"
no_comma "$_iap_self"
_iap_roots=$_iap_root
[ "$_iap_real" = "$_iap_root" ] || _iap_roots=$_iap_root,$_iap_real
_iap_home=${HOME-}
case $_iap_home in
*,*) _iap_home= ;;
esac

if [ -n "${IAPEER_CACHE-}" ]; then
  spell "$IAPEER_CACHE"
  _iap_cache=$_iap_spelled
elif [ -n "${XDG_CACHE_HOME-}" ] && [ -z "${XDG_CACHE_HOME##/*}" ]; then
  _iap_cache=$XDG_CACHE_HOME/iapeer
elif [ -n "${HOME-}" ]; then
  spell "$HOME/@CACHE@/iapeer"
  _iap_cache=$_iap_spelled
else
  _iap_cache=$_iap_root.cache
fi
_iap_dir=$_iap_cache/$_iap_id
intact || unpack || exit $?

# The program gives these variables back what the caller had in them.
set -- "$_iap_dir/iapeer.mjs" "$_iap_self" "${PWD-}" "${DENO_DIR+=$DENO_DIR}" \
  "${DENO_NO_UPDATE_CHECK+=$DENO_NO_UPDATE_CHECK}" "$@"
export DENO_DIR="$_iap_dir.v8" DENO_NO_UPDATE_CHECK=1
case $_iap_command in
install | uninstall)
  spell "${_iap_prefix:-${HOME-}/.local}"
  _iap_prefix=$_iap_spelled
  # The base directory specification: a relative one is to be ignored.
  case ${XDG_CONFIG_HOME-} in
  /*) spell "$XDG_CONFIG_HOME" ;;
  *) spell "${HOME-}/.config" ;;
  esac
  _iap_config=$_iap_spelled
  no_comma "$_iap_prefix"
  no_comma "$_iap_config"
  no_comma "$_iap_cache"
  set -- @INSTALL_FLAGS@ "$@"
  ;;
*) set -- @FLAGS@ "$@" ;;
esac
exec "$_iap_dir/iapeer" run --quiet --no-config --no-lock --no-npm "$@"
