<?php

namespace App\Http\Controllers;

use App\Models\Toll;
use Illuminate\Http\RedirectResponse;
use Illuminate\Http\Request;
use Illuminate\Routing\Controller;
use Illuminate\Validation\Rule;
use Illuminate\View\View;

class TollController extends Controller
{
    private const PAGE = 10;

    public function index(Request $request): View
    {
        return view('tolls', [
            'tolls' => Toll::query()->latest()->latest('id')->limit(self::PAGE)->get(),
            'count' => Toll::query()->count(),
            'takings' => Toll::query()->sum('pence'),
            'tariff' => Toll::TARIFF,
            'secure' => $request->isSecure(),
            'identity' => IdentityController::identity(),
        ]);
    }

    public function store(Request $request): RedirectResponse
    {
        $given = $request->validate([
            'kind' => ['required', Rule::in(array_keys(Toll::TARIFF))],
            'name' => ['required', 'string', 'max:60'],
        ]);
        $toll = Toll::take($given['kind'], $given['name']);

        return redirect('/')->with('status', "{$toll->pence} pence from {$toll->name}. The bar is up.");
    }
}
