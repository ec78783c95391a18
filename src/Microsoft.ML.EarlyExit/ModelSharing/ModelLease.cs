using Microsoft.ML.EarlyExit.Files;
using Microsoft.ML.EarlyExit.Model.Bundle;

namespace Microsoft.ML.EarlyExit.ModelSharing;

/// <summary>
/// A transformer's hold on its model. Bundles that are the same, loaded with the same options, are one model in memory, wherever they lie; it is released with
/// the last hold on it.
/// </summary>
internal sealed class ModelLease : IDisposable
{
    private static readonly Lock s_lock = new();

    // Weak, so that transformers nobody disposed are still collected, and their model with them.
    private static readonly Dictionary<(string Identity, EarlyExitModelOptions Options), WeakReference<Shared>> s_loaded = [];

    private readonly Shared? _shared;
    private volatile bool _isReleased;

    private ModelLease(EarlyExitModel model, Shared? shared)
    {
        Model = model;
        _shared = shared;
    }

    public EarlyExitModel Model { get; }

    /// <summary>Whether the model was in memory already.</summary>
    public bool WasLoaded { get; private init; }

    /// <summary>Whether this hold has ended.</summary>
    public bool IsReleased => _isReleased;

    /// <summary>A model that stays its caller's.</summary>
    public static ModelLease OfCaller(EarlyExitModel model) => new(model, null);

    /// <summary>Opens and checks a bundle, and loads it unless the same one is loaded already.</summary>
    /// <param name="bundlePath">The bundle's folder.</param>
    /// <param name="options">How to load.</param>
    /// <param name="folder">A folder to delete with the model, the lease's also where this fails; null for none.</param>
    /// <param name="identity">The identity that the bundle must have; null for any.</param>
    public static ModelLease Load(string bundlePath, EarlyExitModelOptions options, TemporaryFolder? folder = null, string? identity = null)
    {
        try
        {
            ModelBundle bundle = ModelBundle.Open(bundlePath, options.CopyWeights, folder is null ? null : "the saved model");
            if (identity is not null && bundle.Identity != identity)
            {
                bundle.Dispose();
                throw new InvalidModelException(
                    $"'{bundle.Folder}' holds another model than the one that was saved. Put that one back, or save the model again.");
            }

            lock (s_lock)
            {
                if (TryShare(bundle.Identity, options) is { } lease)
                {
                    bundle.Dispose();
                    folder?.Dispose();
                    return lease;
                }

                var shared = new Shared(EarlyExitModel.Load(bundle, options), folder);
                var lost = s_loaded.Where(loaded => !loaded.Value.TryGetTarget(out _)).Select(loaded => loaded.Key).ToList();
                foreach ((string, EarlyExitModelOptions) key in lost)
                    s_loaded.Remove(key);
                s_loaded[(bundle.Identity, options)] = new WeakReference<Shared>(shared);
                return new ModelLease(shared.Model, shared);
            }
        }
        catch
        {
            folder?.Dispose();
            throw;
        }
    }

    /// <summary>A hold on a model that is loaded already; null where it is not.</summary>
    public static ModelLease? TryShareLoaded(string identity, EarlyExitModelOptions options)
    {
        lock (s_lock)
            return TryShare(identity, options);
    }

    /// <summary>Another hold on the same model.</summary>
    /// <exception cref="ObjectDisposedException">This one has ended.</exception>
    public ModelLease Share()
    {
        lock (s_lock)
        {
            ObjectDisposedException.ThrowIf(_isReleased, this);
            if (_shared is not null)
                _shared.Leases++;
            return new ModelLease(Model, _shared) { WasLoaded = true };
        }
    }

    public void Dispose()
    {
        lock (s_lock)
        {
            if (_isReleased)
                return;
            _isReleased = true;
            if (_shared is null || --_shared.Leases > 0)
                return;
        }

        _shared.Model.Dispose();

        // After the model: Windows does not delete files that are mapped.
        _shared.Folder?.Dispose();
    }

    private static ModelLease? TryShare(string identity, EarlyExitModelOptions options)
    {
        // One whose weights file was changed since refuses every call; loading again must give another.
        if (!s_loaded.TryGetValue((identity, options), out WeakReference<Shared>? loaded) || !loaded.TryGetTarget(out Shared? shared) || shared.Leases == 0
            || !shared.Model.Bundle.IsUnchanged)
            return null;
        shared.Leases++;
        return new ModelLease(shared.Model, shared) { WasLoaded = true };
    }

    /// <summary>A loaded model and the number of holds on it.</summary>
    private sealed class Shared(EarlyExitModel model, TemporaryFolder? folder)
    {
        public EarlyExitModel Model { get; } = model;

        public TemporaryFolder? Folder { get; } = folder;

        public int Leases { get; set; } = 1;
    }
}
