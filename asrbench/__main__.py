from asrbench.cli.app import app

app()
