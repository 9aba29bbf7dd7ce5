"""``python -m zerocost_bench``."""

from zerocost_bench.command import main

if __name__ == "__main__":
    raise SystemExit(main())
