"""`vlmtool`: what it says when something is missing, and what it loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from vlmtool_desktop.__main__ import main


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_without_pyside_it_says_what_to_install() -> None:
    done = run(
        "import sys; sys.modules['PySide6'] = None; "
        "from vlmtool_desktop.__main__ import main; sys.exit(main([]))"
    )
    assert done.returncode == 3
    assert "pip install 'vlmtool[desktop]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_shared_library_leads_to_the_doctor() -> None:
    done = run(
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'PySide6.QtWidgets':\n"
        "            raise ImportError('libEGL.so.1: cannot open shared object file')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "from vlmtool_desktop.__main__ import main\n"
        "sys.exit(main([]))"
    )
    assert done.returncode == 3
    assert "libEGL.so.1" in done.stderr
    assert "vlmtool-cli doctor" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_window_opens_without_torch(tmp_path: Path) -> None:
    done = run(
        "import sys\n"
        "from vlmtool_desktop.application import make_application\n"
        "from vlmtool_desktop.theme import install_theme\n"
        "app = make_application(); install_theme(app)\n"
        "from vlmtool_desktop.main_window import MainWindow\n"
        "window = MainWindow(look=False); window.show(); app.processEvents(); window.close()\n"
        "print(sorted({'torch', 'transformers', 'timm', 'cv2'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_help_needs_no_qt(capsys: object) -> None:
    assert main(["--help"]) == 0
