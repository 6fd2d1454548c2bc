<?php

use App\Http\Controllers\TollController;
use Illuminate\Support\Facades\Route;

Route::get('/', [TollController::class, 'index']);
Route::post('/tolls', [TollController::class, 'store']);
