"""The networks, made with Keras: conversion, geometry, weights and the list of models."""
