<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Tickets</title>
  <meta name="description" content="Who passed the bar today, and what they paid.">
  <link rel="icon" href="/bar.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/tickets.css">
</head>
<body>
  <header>
    <img src="/bar.svg" alt="" width="88" height="88">
    <div>
      <p class="kind">Porter &amp; Wicket</p>
      <h1>Tickets</h1>
      <p>Everybody pays at the bar. Pilgrims and the post pass free.</p>
    </div>
    <dl>
      <div><dt>Passed</dt><dd data-count>{{ $count }}</dd></div>
      <div><dt>Takings</dt><dd><span data-takings>{{ $takings }}</span><small>d</small></dd></div>
    </dl>
  </header>
  <main>
    <section aria-labelledby="bar">
      <h2 id="bar">At the bar</h2>
      @if (session('status'))<p class="notice" role="status">{{ session('status') }}</p>@endif
      <form method="post" action="/tickets">
        @csrf
        <label for="name">Who comes?</label>
        <input id="name" name="name" maxlength="60" required autocomplete="off" value="{{ old('name') }}">
        @error('name')<p class="wrong">{{ $message }}</p>@enderror
        <fieldset>
          <legend>With what?</legend>
          @foreach ($tariff as $kind => $pence)
          <label class="choice"><input type="radio" name="kind" value="{{ $kind }}" @checked(old('kind', 'walker') === $kind)>
            <b>{{ ucfirst($kind) }}</b> <span>{{ $pence }}d</span></label>
          @endforeach
        </fieldset>
        @error('kind')<p class="wrong">{{ $message }}</p>@enderror
        <button>Sell a ticket</button>
      </form>
    </section>
    <section aria-labelledby="ledger">
      <h2 id="ledger">The ledger</h2>
      <table>
        <thead><tr><th>When</th><th>Who</th><th>With</th><th>Paid</th></tr></thead>
        <tbody>
          @foreach ($tickets as $ticket)
          <tr><td>{{ $ticket->created_at->format('H:i') }}</td><td>{{ $ticket->name }}</td><td>{{ $ticket->kind }}</td><td>{{ $ticket->pence }}d</td></tr>
          @endforeach
        </tbody>
      </table>
    </section>
  </main>
  <footer>
    <p>Laravel {{ app()->version() }} on php-fpm, over <b data-scheme>{{ $secure ? 'https' : 'http' }}</b></p>
    <p>Answered by <b data-host>{{ $identity['host'] }}</b>, release <b data-release>{{ $identity['release'] }}</b></p>
  </footer>
</body>
</html>
