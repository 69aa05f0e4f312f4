"""python -m promptshot"""

from promptshot.cli import main

main()
