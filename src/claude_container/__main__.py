from claude_container.cli.main import main

raise SystemExit(main())
