<?php

// Without sessions: what asks here keeps no cookie.

use App\Http\Controllers\IdentityController;
use Illuminate\Support\Facades\Route;

Route::get('/api/whoami', [IdentityController::class, 'show']);
Route::get('/healthz', [IdentityController::class, 'health']);
