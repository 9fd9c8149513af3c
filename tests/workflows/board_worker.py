"""A process that claims trials and ends them without training, for the tests of the board: URL FOLDER LIMIT SECONDS."""

import sys
import time
from pathlib import Path

from maskwright.core.recipe.tuning import Search
from maskwright.core.stop import Stop
from maskwright.workflows.tuning.board import Board, Settings
from maskwright.workflows.tuning.place import Place

KEY = "members.a.optimizer.lr"


def open_board(url, folder, heartbeat=1, grace=3):
    place = Place(url, Path(folder), Stop(), heartbeat=heartbeat, grace=grace)
    search = Search(space={KEY: {"log": (1e-5, 1e-2)}}, pruner="none")
    return place, Board(place, Settings("test", {"items": "1"}, search, 3))


def main(url, folder, limit, seconds):
    place, board = open_board(None if url == "-" else url, folder)
    with place.at_work():
        while (claim := board.claim(int(limit))) is not None:
            if claim == "wait":
                time.sleep(0.1)
                continue
            values = board.suggest(claim)
            sys.stdout.write(f"claimed {claim.row.origin}\n")
            sys.stdout.flush()
            with board.alive(claim):
                time.sleep(float(seconds))
            board.finish(claim, "done", values[KEY], {"by": place.worker})


if __name__ == "__main__":
    main(*sys.argv[1:])
