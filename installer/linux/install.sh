#!/usr/bin/env bash
# Installs vlmtool for one user: a virtual environment, two commands and a menu entry.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
prefix="${XDG_DATA_HOME:-$HOME/.local/share}/vlmtool-program"
bin="$HOME/.local/bin"
applications="${XDG_DATA_HOME:-$HOME/.local/share}/applications"
wheels="$repository/dist"
python="${PYTHON:-python3.11}"
pip_arguments=()
action=install

usage() {
  cat <<'TEXT'
usage: install.sh [--prefix DIR] [--bin DIR] [--applications DIR] [--wheels DIR]
                  [--pip-argument ARG]... [--uninstall]

  --prefix DIR         where the program goes
  --bin DIR            where the commands vlmtool and vlmtool-cli are linked
  --applications DIR   where the menu entry goes
  --wheels DIR         the wheels that `make wheel` made
  --pip-argument ARG   passed on to pip, may be given several times
  --uninstall          remove the program; projects, packs and settings stay
TEXT
}

while [ $# -gt 0 ]; do
  case "$1" in
    --prefix) prefix=$2; shift 2 ;;
    --bin) bin=$2; shift 2 ;;
    --applications) applications=$2; shift 2 ;;
    --wheels) wheels=$2; shift 2 ;;
    --pip-argument) pip_arguments+=("$2"); shift 2 ;;
    --pip-argument=*) pip_arguments+=("${1#*=}"); shift ;;
    --uninstall) action=uninstall; shift ;;
    -h|--help) usage; exit 0 ;;
    *) echo "install.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
  esac
done

entry="$applications/vlmtool.desktop"

if [ "$action" = uninstall ]; then
  if [ ! -f "$prefix/.vlmtool-installed" ]; then
    echo "install.sh: $prefix holds no installation made by this script; nothing removed" >&2
    exit 2
  fi
  rm -rf "$prefix"
  rm -f "$bin/vlmtool" "$bin/vlmtool-cli" "$entry"
  echo "Removed $prefix. Projects, model packs and settings were left alone."
  exit 0
fi

shopt -s nullglob
found=("$wheels"/vlmtool*.whl)
if [ ${#found[@]} -eq 0 ]; then
  echo "install.sh: no wheels in $wheels. Run: make wheel" >&2
  exit 3
fi
if [ -e "$prefix" ] && [ ! -f "$prefix/.vlmtool-installed" ]; then
  echo "install.sh: $prefix exists and was not made by this script; choose another --prefix" >&2
  exit 2
fi

mkdir -p "$prefix" "$bin" "$applications"
touch "$prefix/.vlmtool-installed"
"$python" -m venv "$prefix/environment"
requirements=()
for wheel in "${found[@]}"; do
  case "$(basename "$wheel")" in
    vlmtool-[0-9]*) requirements+=("vlmtool[desktop] @ file://$wheel") ;;
    *) requirements+=("$wheel") ;;
  esac
done
"$prefix/environment/bin/python" -m pip install --quiet \
  -c "$repository/constraints.txt" "${pip_arguments[@]}" "${requirements[@]}"

for command in vlmtool vlmtool-cli; do
  ln -sf "$prefix/environment/bin/$command" "$bin/$command"
done
cat > "$entry" <<DESKTOP
[Desktop Entry]
Type=Application
Name=vlmtool
Comment=Review images, DICOM and video with models that learn from your labels
Exec="$prefix/environment/bin/vlmtool" %F
Icon=image-viewer
Terminal=false
Categories=Graphics;Viewer;Science;
MimeType=image/png;image/jpeg;image/tiff;application/dicom;video/mp4;
DESKTOP
"$prefix/environment/bin/vlmtool-cli" doctor --quiet || true
echo "Installed. Start it from the menu, or: $bin/vlmtool"
