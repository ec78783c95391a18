namespace Microsoft.ML.EarlyExit.Interop;

/// <summary>A component as ML.NET's models know it.</summary>
/// <param name="Kind">What it is, for messages.</param>
/// <param name="Signature">Names its format in saved models: exactly 8 characters, never to change.</param>
/// <param name="LoaderSignature">Names its loader in saved models: at most 24 characters, never to change.</param>
/// <param name="Version">The format's version.</param>
internal sealed record SavedComponent(string Kind, string Signature, string LoaderSignature, uint Version);
