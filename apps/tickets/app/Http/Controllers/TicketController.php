<?php

namespace App\Http\Controllers;

use App\Models\Ticket;
use Illuminate\Http\RedirectResponse;
use Illuminate\Http\Request;
use Illuminate\Routing\Controller;
use Illuminate\Validation\Rule;
use Illuminate\View\View;

class TicketController extends Controller
{
    private const PAGE = 10;

    public function index(Request $request): View
    {
        return view('tickets', [
            'tickets' => Ticket::query()->latest()->latest('id')->limit(self::PAGE)->get(),
            'count' => Ticket::query()->count(),
            'takings' => Ticket::query()->sum('pence'),
            'tariff' => Ticket::TARIFF,
            'secure' => $request->isSecure(),
            'identity' => IdentityController::identity(),
        ]);
    }

    public function store(Request $request): RedirectResponse
    {
        $given = $request->validate([
            'kind' => ['required', Rule::in(array_keys(Ticket::TARIFF))],
            'name' => ['required', 'string', 'max:60'],
        ]);
        $ticket = Ticket::take($given['kind'], $given['name']);

        return redirect('/')->with('status', "{$ticket->pence} pence from {$ticket->name}. The bar is up.");
    }
}
