from sb_api.cli import main

main()
