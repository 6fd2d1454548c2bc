<?php

namespace App\Models;

use Illuminate\Database\Eloquent\Model;

/** One ticket that was sold. */
class Ticket extends Model
{
    /** What each kind of traveller pays, in pence. */
    public const TARIFF = ['walker' => 1, 'rider' => 2, 'cart' => 4, 'drove' => 8];

    protected $fillable = ['kind', 'name', 'pence'];

    /** Sell a ticket at its price in the tariff, and write it into the ledger. */
    public static function take(string $kind, string $name): self
    {
        return self::query()->create(['kind' => $kind, 'name' => $name, 'pence' => self::TARIFF[$kind]]);
    }
}
